// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sockets are bound, listen, and see what is not theirs: network.bind, network.listen, network.socket (raw ones and
 * those of packets). All at the ends of their calls.
 */
#include "socket.h"

#define SOCK_RAW 3
#define SOCK_PACKET 10 /* the old way to AF_PACKET, by AF_INET: net/socket.c still takes it */
#define TYPE_MASK 0xf

SAMPLE(network_bind)
{
	struct header header;
	struct flow flow;
	errno_t error;
	__u32 pad;
};

SAMPLE(network_listen)
{
	struct header header;
	struct flow flow;
	errno_t error;
	__s32 backlog;
};

SAMPLE(network_socket)
{
	struct header header;
	inode_t socket; /* 0: there is none, the call failed */
	errno_t error;
	socket_type_t type;
	socket_protocol_t protocol;
	ns_inum_t netns;
	family_t family;
	__u8 pad[6];
};

SEC("tp_btf/sys_exit")
int BPF_PROG(on_bind_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct network_bind event = {};
	struct endpoint asked;
	struct call call;
	struct sock *sk;

	if (!read_socket_call(&call, regs, result))
		return 0;
	sk = sock_of(task, call.args[0]);
	if (!sk || !is_ip(sk) || !begin_event(&event.header, network_bind_kind, activity_ring, task))
		return 0;
	fill_flow(&event.flow, sk);
	event.error = error_of(call.result);
	if (event.error && read_endpoint(&asked, (void *)call.args[1], false)) {
		event.flow.local = asked;
		fill_version(&event.flow);
	}
	if (!is_end_left_out(&event.flow.local))
		submit(activity_ring, &event.header, sizeof(event));
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_listen_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct network_listen event = {};
	struct call call;
	struct sock *sk;

	if (!read_socket_call(&call, regs, result))
		return 0;
	sk = sock_of(task, call.args[0]);
	if (!sk || !is_ip(sk) || !begin_event(&event.header, network_listen_kind, activity_ring, task))
		return 0;
	fill_flow(&event.flow, sk);
	event.flow.state = BPF_CORE_READ(sk, __sk_common.skc_state);
	event.error = error_of(call.result);
	event.backlog = call.args[1];
	if (!is_end_left_out(&event.flow.local))
		submit(activity_ring, &event.header, sizeof(event));
	return 0;
}

/* Netlink's are called raw too, and see nothing of others. */
static __always_inline bool is_raw(__u32 family, __u32 type)
{
	return family == AF_PACKET || (type == SOCK_RAW && family != AF_NETLINK) ||
	       (type == SOCK_PACKET && family == AF_INET);
}

/* Not static, with a number for a pointer: so the verifier looks at it once. */
__noinline int tell_socket(__u64 socket, __u32 family, __u32 type, __u32 protocol, __s32 error)
{
	struct task_struct *task = bpf_get_current_task_btf();
	bool is_packet = family == AF_PACKET || (type & TYPE_MASK) == SOCK_PACKET;
	struct network_socket event = {};

	if (!is_raw(family, type & TYPE_MASK) || !begin_event(&event.header, network_socket_kind, activity_ring, task))
		return 0;
	event.socket = socket ? inode_of((void *)socket) : 0;
	event.error = error;
	event.type = type;
	event.protocol =
		(is_packet ? AF_PACKET : family) << 16 | (is_packet ? from_network(protocol) : (__u16)protocol);
	event.netns = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
	event.family = is_packet ? AF_PACKET : family;
	submit(activity_ring, &event.header, sizeof(event));
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_socket_call, struct pt_regs *regs, long result)
{
	struct call call;

	if (!read_socket_call(&call, regs, result))
		return 0;
	tell_socket((__u64)sock_of(bpf_get_current_task_btf(), call.result), call.args[0], call.args[1], call.args[2],
		    error_of(call.result));
	return 0;
}

/* What io_uring does on behalf of a program ends no system call of its own. */
SEC("fentry/security_socket_post_create")
int BPF_PROG(on_ring_socket, struct socket *socket, int family, int type, int protocol, int in_kernel)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (!in_kernel && !is_in_call(task, __NR_socket) && !is_in_call(task, __NR_socketpair))
		tell_socket((__u64)BPF_CORE_READ(socket, sk), family, type, protocol, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
