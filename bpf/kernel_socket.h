/* SPDX-License-Identifier: GPL-2.0-only */
/* Sockets and what goes through them, as far as we read them. Included by kernel.h, which says what its types are. */
#ifndef PODWITNESS_KERNEL_SOCKET_H
#define PODWITNESS_KERNEL_SOCKET_H

typedef struct {
	struct net *net;
} possible_net_t;
struct in6_addr {
};
struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	unsigned short skc_family;
	unsigned char skc_state;
	int skc_bound_dev_if;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
	unsigned long skc_flags;
};
struct sock {
	struct sock_common __sk_common;
	int sk_err;
	__u8 sk_shutdown;
	__u8 sk_kern_sock : 1;
	__u16 sk_type, sk_protocol;
	struct socket *sk_socket;
};
struct socket {
	struct sock *sk;
};
struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};
struct inet_sock {
	struct sock sk;
	__be32 inet_saddr;
	__be16 inet_sport;
};
struct tcp_sock {
	__u64 bytes_received, bytes_sent, bytes_retrans;
};
/* Its own counts are there since 6.4. */
struct mptcp_sock {
	__u64 bytes_received, bytes_sent, bytes_retrans;
	struct sock *first;
};
/* Its name follows it. */
struct unix_address {
	int len;
};
struct unix_sock {
	struct unix_address *addr;
	struct path path;
	struct sock *peer;
};
struct net_device {
	char name[16];
	int ifindex;
	struct hlist_node index_hlist;
};
struct sk_buff {
	unsigned char *head;
	__u16 transport_header, network_header;
};
struct msghdr {
	void *msg_name;
};

#endif
