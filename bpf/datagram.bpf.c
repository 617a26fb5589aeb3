// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first datagram of UDP each way between a socket and another end: network.datagram.
 *
 * A flow is a socket and the other end. The socket is known by its inode, which no other one gets: its place in memory
 * goes to the next one at once, and programs that ask DNS make a socket for each question, all to the same server.
 */
#include "datagram.h"

/* With trampolines: where datagrams are sent and received, whichever call it is, with the addresses that they have. */
static __always_inline int sent(struct sock *sk, struct msghdr *message, int result)
{
	struct endpoint peer;
	void *name = BPF_CORE_READ(message, msg_name);

	if (is_of_kernel(sk) || is_for_later(result))
		return 0;
	bool named = name && read_endpoint(&peer, name, true);

	return tell_datagram(sk, NULL, named ? &peer : NULL, false, outbound, error_of(result));
}

SEC("fexit/udp_sendmsg")
int BPF_PROG(on_udp_send, struct sock *sk, struct msghdr *message, unsigned long length, int result)
{
	return sent(sk, message, result);
}

SEC("fexit/udpv6_sendmsg")
int BPF_PROG(on_udp6_send, struct sock *sk, struct msghdr *message, unsigned long length, int result)
{
	return sent(sk, message, result);
}

SEC("fentry/skb_consume_udp")
int BPF_PROG(on_udp_receive, struct sock *sk, struct sk_buff *packet)
{
	struct endpoint local, peer;

	if (!is_of_kernel(sk) && read_packet(packet, &local, &peer))
		tell_datagram(sk, &local, &peer, false, inbound, 0);
	return 0;
}

/* Without: connected sockets, whichever call it is. */
static __always_inline int connected(struct sock *sk, int result, enum direction direction)
{
	if (sk->sk_protocol != IPPROTO_UDP || sk->__sk_common.skc_state != TCP_ESTABLISHED || is_of_kernel(sk))
		return 0;
	if (is_udp(sk) && !is_for_later(result) && (direction == outbound || result >= 0))
		tell_datagram(sk, NULL, NULL, false, direction, error_of(result));
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_socket_send, struct sock *sk, int result, int flags)
{
	return connected(sk, result, outbound);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_socket_receive, struct sock *sk, int result, int flags)
{
	return flags & MSG_ERRQUEUE ? 0 : connected(sk, result, inbound);
}

/*
 * And the calls that name the other end, where it is in the memory of the program. Not static: so the verifier looks at
 * it once, not for each message.
 */
__noinline int tell_named(__u64 sk, __u64 name, __u32 direction, __s32 error)
{
	struct endpoint peer;

	bool named = name && read_endpoint(&peer, (void *)name, false);

	return tell_datagram((void *)sk, NULL, named ? &peer : NULL, named, direction, error);
}

static __always_inline bool is_receiving(__u32 number)
{
	return number == __NR_recvfrom || number == __NR_recvmsg || number == __NR_recvmmsg;
}

static __always_inline bool is_of_errors(struct call *call)
{
	return is_receiving(call->number) && call->args[call->number == __NR_recvmsg ? 2 : 3] & MSG_ERRQUEUE;
}

/* Where the call has its first struct msghdr; 0: it has none. */
static __always_inline __u64 messages_of(struct call *call)
{
	return call->number == __NR_sendto || call->number == __NR_recvfrom ? 0 : call->args[1];
}

static __always_inline __s64 count_of(struct call *call)
{
	bool several = call->number == __NR_sendmmsg || call->number == __NR_recvmmsg;

	return several && call->result > 0 ? call->result : 1;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_datagram_call, struct pt_regs *regs, long result)
{
	bool compat = is_compat();
	enum direction direction;
	struct call call;
	struct sock *sk;

	if (!read_socket_call(&call, regs, result) || is_for_later(call.result))
		return 0;
	direction = is_receiving(call.number) ? inbound : outbound;
	sk = sock_of(bpf_get_current_task_btf(), call.args[0]);
	if (!sk || !is_udp(sk) || (direction == inbound && call.result < 0) || is_of_errors(&call))
		return 0;
	__u64 message = messages_of(&call);
	__s64 count = count_of(&call);

	for (int i = 0; i < MESSAGES; i++) {
		/* Written so that the loop ends in a jump: 6.1 takes none that falls back into its beginning. */
		if (i < count)
			tell_named((__u64)sk, message ? name_of(message, compat) : call.args[4], direction,
				   error_of(call.result));
		message += compat ? COMPAT_MESSAGE_BYTES : MESSAGE_BYTES;
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
