/* SPDX-License-Identifier: GPL-2.0-only */
/* A connection that was taken: told, and kept until its end. */
#ifndef PODWITNESS_ACCEPT_H
#define PODWITNESS_ACCEPT_H

#include "connection.h"

/* Functions that are not static, with numbers for pointers: so the verifier looks at each once. */
__noinline int tell_accept(__u64 socket, __s32 error)
{
	struct sock *sk = (void *)socket;
	struct network_accept event = {};

	if (!begin_event(&event.header, network_accept_kind, activity_ring, bpf_get_current_task_btf()))
		return 0;
	fill_flow(&event.flow, sk);
	event.flow.state = BPF_CORE_READ(sk, __sk_common.skc_state);
	event.error = error;
	event.direction = inbound;
	if (!is_flow_left_out(&event.flow, event.flow.local.port))
		submit(activity_ring, &event.header, sizeof(event));
	return 0;
}

/* One that has ended before it is accepted has no end to be told. */
__noinline int keep_accepted(__u64 socket)
{
	struct connection connection = {.stage = connected, .direction = inbound};
	struct sock *sk = (void *)socket;

	if (BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE ||
	    !begin_event(&connection.header, network_close_kind, activity_ring, bpf_get_current_task_btf()))
		return 0;
	connection.since = connection.header.time;
	connection.ports = ports_of(sk);
	bpf_map_update_elem(&connections, &socket, &connection, 0);
	return 0;
}

/* One that ended just now, when nobody knew of it yet. */
__noinline int end_accepted(__u64 socket)
{
	struct sock *sk = (void *)socket;
	struct connection *connection = bpf_map_lookup_elem(&connections, &socket);

	if (connection && BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE)
		end_connection(connection, sk);
	return 0;
}

static __always_inline void accepted(struct sock *sk, errno_t error)
{
	if (!is_ip(sk))
		return;
	tell_accept((__u64)sk, error);
	if (error)
		return;
	keep_accepted((__u64)sk);
	end_accepted((__u64)sk);
}

#endif
