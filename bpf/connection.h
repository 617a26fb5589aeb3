/* SPDX-License-Identifier: GPL-2.0-only */
/* Connections from their beginning to their end: what is kept of each between the two, and what is told of it. */
#ifndef PODWITNESS_CONNECTION_H
#define PODWITNESS_CONNECTION_H

#include "burst.h"
#include "destination.h"
#include "socket.h"

#include <asm/errno.h>

#define SOCK_DONE 1 /* enum sock_flags, include/net/sock.h: the other end has sent its last byte */

SAMPLE(network_connect)
{
	struct header header;
	struct repeats repeats;
	duration_ns_t latency;
	struct flow flow;
	errno_t error;
	direction_t direction;
	__u8 pad[3];
};

SAMPLE(network_accept)
{
	struct header header;
	struct flow flow;
	errno_t error;
	direction_t direction;
	__u8 pad[3];
};

SAMPLE(network_close)
{
	struct header header;
	duration_ns_t duration;
	byte_count_t sent;
	byte_count_t received;
	struct flow flow;
	struct endpoint client;
	struct endpoint server;
	errno_t error;
	direction_t direction;
	__u8 pad[7];
};

enum stage { connecting, connected, failed };

/* Whose a connection is. A failed one is remembered for its caller, who may ask what came of it: that is told once. */
struct connection {
	struct header header;
	boot_ns_t since;
	errno_t error;
	__u32 ports; /* tells it from a later one whose socket is at the same place in memory */
	__u32 stage;
	__u32 direction;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64); /* the socket's address */
	__type(value, struct connection);
} connections SEC(".maps");

static __always_inline __u32 ports_of(struct sock *sk)
{
	struct inet_sock *inet = (void *)sk;

	return (__u32)BPF_CORE_READ(inet, inet_sport) << 16 | BPF_CORE_READ(sk, __sk_common.skc_dport);
}

/* Whether somebody wants to know, by the event or by the numbers. */
static __always_inline bool is_asked_for(enum kind kind)
{
	return is_wanted(kind) || count_destinations;
}

/* The header of who it was, with what it is now. */
static __always_inline void continue_event(struct header *header, enum kind kind, struct connection *connection)
{
	*header = connection->header;
	header->kind = kind;
	header->time = bpf_ktime_get_boot_ns();
}

/* What is only counted goes no further. */
static __always_inline void tell(enum kind kind, struct header *header, __u64 bytes)
{
	if (is_wanted(kind) && !is_unread(activity_ring, header))
		submit(activity_ring, header, bytes);
}

/* Where this counts; NULL where nobody asked. */
static __always_inline struct destination *counted_at(struct header *header, struct flow *flow)
{
	struct destination_key key = {};

	if (!count_destinations)
		return NULL;
	key.start_time = header->start_time;
	key.exec_id = header->exec_id;
	key.pid = header->pid;
	key.protocol = flow->protocol;
	key.port = flow->peer.port;
	__builtin_memcpy(key.address, flow->peer.address, sizeof(key.address));
	return destination_of(&key, header);
}

/* The same remote end, with the same outcome. */
__noinline int is_in_burst(struct network_connect *event)
{
	struct burst_key key;

	if (!event)
		return 0;
	begin_burst(&key, &event->header);
	__builtin_memcpy(key.object, event->flow.peer.address, sizeof(event->flow.peer.address));
	key.object[2] = (__u64)event->flow.netns << 32 | event->flow.protocol << 16 | event->flow.peer.port;
	key.object[3] = (__u64)event->error << 32 | event->flow.state;
	return is_repeated(&key, &event->header) || keep_burst(&key, &event->header, sizeof(*event));
}

/* What came of a connect goes to whom it concerns. */
static __always_inline void tell_connect(struct network_connect *event)
{
	struct destination *counted;

	if (is_end_left_out(&event->flow.peer))
		return;
	counted = counted_at(&event->header, &event->flow);
	if (counted)
		count_outcome(counted, event->error, event->latency);
	event->repeats.count = 1;
	if (is_wanted(network_connect_kind) && can_burst(network_connect_kind) && is_in_burst(event))
		return;
	tell(network_connect_kind, &event->header, sizeof(*event));
}

static __noinline int tell_outcome(struct connection *connection, struct sock *sk, errno_t error, __u32 state)
{
	struct network_connect event = {};

	if (!is_asked_for(network_connect_kind))
		return 0;
	continue_event(&event.header, network_connect_kind, connection);
	event.latency = event.header.time - connection->since;
	fill_flow(&event.flow, sk);
	event.flow.state = state;
	event.error = error;
	event.direction = outbound;
	tell_connect(&event);
	return 0;
}

/* Payload only, each byte once: without what was sent again, and without the last segment's mark that takes a number.
 */
static __always_inline void fill_bytes(struct network_close *event, struct sock *sk)
{
	struct mptcp_sock *parts = (void *)sk;
	struct tcp_sock *tcp = (void *)sk;

	event->sent = event->received = ~0ULL;
	if (event->flow.protocol == IPPROTO_TCP) {
		event->sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
		event->received = BPF_CORE_READ(tcp, bytes_received) -
				  (BPF_CORE_READ(sk, __sk_common.skc_flags) >> SOCK_DONE & 1);
	} else if (event->flow.protocol == IPPROTO_MPTCP && bpf_core_field_exists(parts->bytes_sent)) {
		event->sent = BPF_CORE_READ(parts, bytes_sent) - BPF_CORE_READ(parts, bytes_retrans);
		event->received = BPF_CORE_READ(parts, bytes_received);
	}
}

static __noinline int tell_end(struct connection *connection, struct sock *sk)
{
	bool is_client = connection->direction == outbound;
	struct network_close event = {};
	struct destination *counted;

	if (!is_asked_for(network_close_kind))
		return 0;
	continue_event(&event.header, network_close_kind, connection);
	event.duration = event.header.time - connection->since;
	fill_flow(&event.flow, sk);
	event.flow.state = TCP_CLOSE;
	fill_bytes(&event, sk);
	event.client = is_client ? event.flow.local : event.flow.peer;
	event.server = is_client ? event.flow.peer : event.flow.local;
	event.error = BPF_CORE_READ(sk, sk_err); /* ECONNRESET, ETIMEDOUT */
	event.direction = connection->direction;
	if (is_flow_left_out(&event.flow, event.server.port))
		return 0;
	counted = is_client ? counted_at(&event.header, &event.flow) : NULL;
	if (counted)
		count_end(counted, event.sent, event.received);
	tell(network_close_kind, &event.header, sizeof(event));
	return 0;
}

static __always_inline void end_connection(struct connection *connection, struct sock *sk)
{
	__u64 key = (__u64)sk;

	if (connection->ports == ports_of(sk))
		tell_end(connection, sk);
	bpf_map_delete_elem(&connections, &key);
}

#endif
