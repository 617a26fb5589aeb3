/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A socket as an event has it: its two ends, what it speaks, where it lives.
 *
 * Addresses are always in IPv6's form, IPv4's as ::ffff:a.b.c.d: how the program spelt them makes no difference.
 */
#ifndef PODWITNESS_SOCKET_H
#define PODWITNESS_SOCKET_H

#include "file.h"

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define AF_PACKET 17
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_UDPLITE 136
#define IPPROTO_MPTCP 262
#define UNIX_TRANSPORT 0xffff
#define SOCKFS_MAGIC 0x534f434b /* include/uapi/linux/magic.h */
#define MAPPED 0xffff0000	/* the third word of ::ffff:a.b.c.d in memory */
#define DEVICE_BUCKETS 256	/* NETDEV_HASHENTRIES, include/linux/netdevice.h */
#define DEVICE_CHAIN 16
#define DEVICE_NAME 16

enum { TCP_ESTABLISHED = 1, TCP_SYN_SENT = 2, TCP_CLOSE = 7, TCP_LISTEN = 10 };
enum direction { outbound = 1, inbound = 2 };

struct endpoint {
	address_t address;
	port_t port;
};

struct flow {
	inode_t socket; /* as /proc/PID/fd has it: socket:[number] */
	struct endpoint local;
	struct endpoint peer;
	ns_inum_t netns;
	ip_protocol_t protocol;
	transport_t transport;
	ip_version_t version;
	tcp_state_t state;
	__u8 pad[2];
	char interface[DEVICE_NAME]; /* that the socket is bound to */
};

/* Of socketcall(): words in user memory, which the caller can change; send and recv have but four. */
static __noinline __attribute__((unused)) int read_socket_args(struct call *call, __u64 asked, __u64 words)
{
	__u32 word, count = asked == 9 || asked == 10 ? 4 : 6;

	if (!call)
		return 0;
	for (int i = 0; i < 6; i++) {
		word = 0;
		if (i < count)
			bpf_probe_read_user(&word, sizeof(word), (void *)(words + 4 * i));
		call->args[i] = word;
	}
	return 0;
}

/* As read_call: the arguments of a call on sockets, which 32-bit programs have another way to make. */
static __always_inline bool read_socket_call(struct call *call, struct pt_regs *regs, long result)
{
	if (!read_call(call, regs, result))
		return false;
	if (is_compat() && asked_number(regs) == SOCKETCALL)
		read_socket_args(call, regs->bx, (__u32)regs->cx);
	return true;
}

static __always_inline __u16 from_network(__be16 number)
{
	return __builtin_bswap16(number);
}

static __always_inline void write_ipv4(__u8 *address, __be32 ipv4)
{
	__u32 words[4] = {0, 0, MAPPED, ipv4};

	__builtin_memcpy(address, words, sizeof(words));
}

static __always_inline bool is_ipv4(const __u8 *address)
{
	__u32 words[4];

	__builtin_memcpy(words, address, sizeof(words));
	return !words[0] && !words[1] && words[2] == MAPPED;
}

static __always_inline bool is_unspecified(const __u8 *address)
{
	__u64 words[2];

	__builtin_memcpy(words, address, sizeof(words));
	return !words[0] && !words[1];
}

/* The socket behind a descriptor; NULL where it is none. */
static __always_inline struct sock *sock_of(struct task_struct *task, __s32 fd)
{
	struct file *file = file_of(task, fd);
	struct socket *socket;

	if (!file || BPF_CORE_READ(file, f_inode, i_sb, s_magic) != SOCKFS_MAGIC)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return socket ? BPF_CORE_READ(socket, sk) : NULL;
}

static __always_inline bool is_ip(struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return family == AF_INET || family == AF_INET6;
}

static __always_inline bool is_udp(struct sock *sk)
{
	__u16 protocol = BPF_CORE_READ(sk, sk_protocol);

	return (protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE) && is_ip(sk);
}

/* The system call that `task` is in, and whose handler will see its end; NO_CALL where io_uring does its work. */
static __always_inline __u32 call_under_way(struct task_struct *task)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	if (task->flags & PF_IO_WORKER || !is_before_end(regs))
		return NO_CALL;
	return call_number(regs, is_compat());
}

static __always_inline bool is_in_call(struct task_struct *task, __u32 number)
{
	return call_under_way(task) == number;
}

/* One of the kernel's own, whose thread is no program's: NFS, the parts of an MPTCP connection. */
static __always_inline bool is_of_kernel(struct sock *sk)
{
	return BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock) || bpf_get_current_task_btf()->flags & PF_KTHREAD;
}

static __always_inline __u64 inode_of(struct sock *sk)
{
	struct socket_alloc *socket = (void *)BPF_CORE_READ(sk, sk_socket);

	return socket ? BPF_CORE_READ(socket, vfs_inode.i_ino) : 0;
}

/* The name of a network device of `net`, by its number. */
static __noinline int write_device(char *name, struct net *net, int index)
{
	struct hlist_node *node = NULL;

	if (!name)
		return 0;
	__builtin_memset(name, 0, DEVICE_NAME);
	if (!index)
		return 0;
	node = (void *)BPF_CORE_READ(net, dev_index_head);
	bpf_probe_read_kernel(&node, sizeof(node), (void *)node + (index & (DEVICE_BUCKETS - 1)) * sizeof(node));
	for (int i = 0; i < DEVICE_CHAIN && node; i++) {
		struct net_device *device = (void *)node - bpf_core_field_offset(struct net_device, index_hlist);

		if (BPF_CORE_READ(device, ifindex) == index)
			return bpf_core_read_str(name, DEVICE_NAME, &device->name);
		node = BPF_CORE_READ(node, next);
	}
	return 0;
}

/* The two ends of a socket as it has them itself; of an MPTCP connection those of its first part. */
static __always_inline void fill_ends(struct endpoint *local, struct endpoint *peer, struct sock *sk)
{
	struct mptcp_sock *parts = (void *)sk;
	struct inet_sock *inet;

	if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_MPTCP && bpf_core_type_exists(struct mptcp_sock)) {
		struct sock *first = BPF_CORE_READ(parts, first);

		sk = first ?: sk;
	}
	inet = (void *)sk;
	local->port = from_network(BPF_CORE_READ(inet, inet_sport));
	peer->port = from_network(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6) {
		bpf_core_read(local->address, sizeof(address_t), &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(peer->address, sizeof(address_t), &sk->__sk_common.skc_v6_daddr);
	} else {
		write_ipv4(local->address, BPF_CORE_READ(inet, inet_saddr));
		write_ipv4(peer->address, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	}
}

/* What it speaks: by the address of the other end, where there is one. */
static __always_inline void fill_version(struct flow *flow)
{
	const __u8 *address = is_unspecified(flow->peer.address) ? flow->local.address : flow->peer.address;

	flow->version = is_ipv4(address) ? 4 : 6;
}

static __always_inline void fill_flow(struct flow *flow, struct sock *sk)
{
	struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);

	flow->socket = inode_of(sk);
	fill_ends(&flow->local, &flow->peer, sk);
	fill_version(flow);
	flow->netns = BPF_CORE_READ(net, ns.inum);
	flow->protocol = BPF_CORE_READ(sk, sk_protocol);
	flow->transport = flow->protocol;
	flow->state = 0;
	__builtin_memset(flow->pad, 0, sizeof(flow->pad));
	write_device(flow->interface, net, BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if));
}

/* An address as user mode has it in memory, whose length it gave; false where it is not of IP. */
static __always_inline bool read_endpoint(struct endpoint *end, const void *address, bool in_kernel)
{
	struct {
		__u16 family;
		__be16 port;
		__be32 ipv4; /* IPv6 has a flow label here, then its address */
		__u8 ipv6[16];
	} asked = {};
	__u32 size = 8;

	if (in_kernel)
		bpf_probe_read_kernel(&asked, size, address);
	else
		bpf_probe_read_user(&asked, size, address);
	end->port = from_network(asked.port);
	if (asked.family == AF_INET) {
		write_ipv4(end->address, asked.ipv4);
		return true;
	}
	if (in_kernel)
		bpf_probe_read_kernel(end->address, sizeof(address_t), address + size);
	else
		bpf_probe_read_user(end->address, sizeof(address_t), address + size);
	return asked.family == AF_INET6;
}

/* `service` is the port that is known: of who is connected to. */
static __always_inline bool is_flow_left_out(struct flow *flow, port_t service)
{
	return is_port_left_out(service) || is_address_left_out(flow->peer.address);
}

static __always_inline bool is_end_left_out(struct endpoint *end)
{
	return is_port_left_out(end->port) || is_address_left_out(end->address);
}

#endif
