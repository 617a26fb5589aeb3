// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections: network.connect, network.accept, network.close, and network.unix_connect.
 *
 * Who opens a TCP connection is who runs when its socket begins to connect, whichever call made it: connect, a send
 * with fast open, io_uring. What came of it is known when the socket changes its state again, which may be in an
 * interrupt, long after a call that did not wait: so who it was is kept by socket until then, and on until it ends.
 * What never came so far, and other protocols, are told at the end of the call.
 */
#include "accept.h"
#include "told.h"
#include "unix.h"

/* When a socket's state changes the new one is not in it yet. */
static __always_inline void begin_connection(struct sock *sk)
{
	/* One look at who it is: the same for both kinds. */
	enum kind kind = is_wanted(network_connect_kind) ? network_connect_kind : network_close_kind;
	struct task_struct *task = bpf_get_current_task_btf();
	struct connection connection = {.stage = connecting, .direction = outbound};
	__u64 key = (__u64)sk;

	if (is_of_kernel(sk))
		return;
	/* Numbers are kept also while nobody reads: they wait for who does. */
	if (count_destinations ? is_observed(&connection.header, kind, task)
			       : begin_event(&connection.header, kind, activity_ring, task)) {
		connection.since = connection.header.time;
		bpf_map_update_elem(&connections, &key, &connection, 0);
	} else {
		bpf_map_delete_elem(&connections, &key);
	}
}

static __always_inline void connection_begun(struct connection *connection, struct sock *sk)
{
	__u64 now = bpf_ktime_get_boot_ns();

	tell_outcome(connection, sk, 0, TCP_ESTABLISHED);
	connection->since = now;
	connection->ports = ports_of(sk);
	connection->stage = connected;
}

/* Whether `task` is in a connect() of this socket. What 32-bit programs have in memory is believed. */
static __always_inline bool is_being_connected(struct sock *sk, struct task_struct *task)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	return is_in_call(task, __NR_connect) && (is_compat() || sock_of(task, regs->di) == sk);
}

/*
 * Not one that its caller has still to learn of from connect(): then the call's end tells it, with the reason, which is
 * not in the socket.
 */
static __always_inline void connection_failed(struct connection *connection, struct sock *sk)
{
	__s32 error = BPF_CORE_READ(sk, sk_err);

	if (!error && BPF_CORE_READ(sk, sk_shutdown))
		error = ECANCELED; /* closed by its own program before there was an answer */
	if (!error && is_being_connected(sk, bpf_get_current_task_btf()))
		return;
	error = error ?: EADDRNOTAVAIL;
	tell_outcome(connection, sk, error, TCP_CLOSE);
	connection->error = error;
	connection->stage = failed;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_socket_state, struct sock *sk, int before, int after)
{
	__u64 key = (__u64)sk;
	struct connection *connection;

	if (after == TCP_SYN_SENT)
		begin_connection(sk);
	if (after != TCP_ESTABLISHED && after != TCP_CLOSE)
		return 0;
	connection = bpf_map_lookup_elem(&connections, &key);
	if (!connection)
		return 0;
	if (after == TCP_ESTABLISHED && connection->stage == connecting)
		connection_begun(connection, sk);
	else if (after == TCP_CLOSE && connection->stage == connecting)
		connection_failed(connection, sk);
	else if (after == TCP_CLOSE && connection->stage == connected)
		end_connection(connection, sk);
	return 0;
}

/* TCP tells by its states all but what failed before it had one; false where that has been told. */
static __always_inline bool is_untold(struct sock *sk, __s32 error, boot_ns_t *since)
{
	__u64 key = (__u64)sk;
	struct connection *connection = bpf_map_lookup_elem(&connections, &key);
	bool told = connection && connection->stage == failed && connection->error == error;

	if (connection && connection->stage == connecting)
		*since = connection->since;
	if (connection && connection->stage != connected && BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE)
		bpf_map_delete_elem(&connections, &key);
	return error && !told;
}

/* Of a call that is not over, or only asks how a connection goes. */
static __always_inline bool is_pending(__s32 error)
{
	return error == EINPROGRESS || error == EALREADY || error == EISCONN || error == EINTR;
}

/*
 * Functions that are not static, with numbers for pointers: so the verifier looks at each once, and for each program's
 * 512 bytes of stack.
 */
__noinline int tell_connect_call(__u64 socket, struct call *call, __u32 in_kernel)
{
	struct sock *sk = (void *)socket;
	__u16 protocol = BPF_CORE_READ(sk, sk_protocol);
	bool is_tcp = protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
	struct network_connect event = {};
	struct endpoint asked;
	boot_ns_t since = 0;

	if (!call)
		return 0;
	event.error = error_of(call->result);
	if (is_tcp && (is_pending(event.error) || !is_untold(sk, event.error, &since)))
		return 0;
	if (!read_endpoint(&asked, (void *)call->args[1], in_kernel) && !event.error)
		return 0; /* AF_UNSPEC: the end of what was connected */
	if (!is_asked_for(network_connect_kind) ||
	    !is_observed(&event.header, network_connect_kind, bpf_get_current_task_btf()))
		return 0;
	fill_flow(&event.flow, sk);
	if (event.error || is_unspecified(event.flow.peer.address)) {
		event.flow.peer = asked;
		fill_version(&event.flow);
	}
	event.latency = since ? event.header.time - since : 0;
	event.flow.state = is_tcp ? TCP_CLOSE : 0;
	event.direction = outbound;
	tell_connect(&event);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_connect_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call call;
	struct sock *sk;

	if (!read_socket_call(&call, regs, result) || was_told(task, call.number))
		return 0;
	sk = sock_of(task, call.args[0]);
	if (!sk)
		return 0;
	if (is_ip(sk))
		tell_connect_call((__u64)sk, &call, false);
	else if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX)
		tell_unix_connect((__u64)sk, &call, false);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_accept_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call call;
	struct sock *sk;

	if (!read_socket_call(&call, regs, result) || was_told(task, call.number) || call.result == -EAGAIN ||
	    call.result == -EINTR)
		return 0;
	sk = sock_of(task, call.result >= 0 ? call.result : call.args[0]);
	if (sk)
		accepted(sk, error_of(call.result));
	return 0;
}

/* With trampolines: the sockets themselves, whichever call it is, and io_uring, which ends none of its own. */
SEC("fexit/inet_accept")
int BPF_PROG(on_ring_accept, struct socket *listener, struct socket *socket)
{
	struct sock *sk = BPF_CORE_READ(socket, sk);

	if (!sk || is_of_kernel(sk))
		return 0;
	accepted(sk, 0);
	note_told(bpf_get_current_task_btf());
	return 0;
}

SEC("fexit/inet_dgram_connect")
int BPF_PROG(on_ring_connect, struct socket *socket, void *address, int length, int flags, int result)
{
	struct call call = {.args = {0, (__u64)address}, .result = result};
	struct sock *sk = BPF_CORE_READ(socket, sk);

	if (is_of_kernel(sk))
		return 0;
	tell_connect_call((__u64)sk, &call, true);
	note_told(bpf_get_current_task_btf());
	return 0;
}

SEC("fexit/unix_stream_connect")
int BPF_PROG(on_ring_unix_connect, struct socket *socket, void *address, int length, int flags, int result)
{
	struct call call = {.args = {0, (__u64)address, length}, .result = result};

	/* What io_uring tries again on its own; of a call its end tells. */
	if (result == -EAGAIN || (result >= RESTART_FIRST && result <= RESTART_LAST))
		return 0;
	tell_unix_connect((__u64)BPF_CORE_READ(socket, sk), &call, true);
	note_told(bpf_get_current_task_btf());
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
