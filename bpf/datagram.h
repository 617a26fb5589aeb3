/* SPDX-License-Identifier: GPL-2.0-only */
/* Flows of UDP: which there have been, and what is told of the first datagram each way. */
#ifndef PODWITNESS_DATAGRAM_H
#define PODWITNESS_DATAGRAM_H

#include "socket.h"

#include <asm/errno.h>

#define MSG_ERRQUEUE 0x2000
#define MESSAGES 8		/* of one sendmmsg or recvmmsg that are looked at */
#define MESSAGE_BYTES 64	/* sizeof(struct mmsghdr) */
#define COMPAT_MESSAGE_BYTES 32 /* of a 32-bit program */

SAMPLE(network_datagram)
{
	struct header header;
	struct flow flow;
	struct endpoint client; /* who sent first */
	struct endpoint server;
	errno_t error;
	direction_t direction;
	flag_t peer_unresolved; /* it was read from the program's memory, which it can have changed since */
	__u8 pad[6];
};

struct flow_key {
	__u64 socket;
	struct endpoint peer;
	__u8 pad[6];
};

/* What has been seen of a flow; `first` is the direction of its first datagram. */
struct seen {
	__u8 sent;
	__u8 received;
	__u8 refused;
	__u8 first;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct flow_key);
	__type(value, struct seen);
} flows SEC(".maps");

/* Nothing has been sent or received yet: the program will ask again. */
static __always_inline bool is_for_later(__s64 result)
{
	return result == -EAGAIN || result == -EINTR || (result >= RESTART_FIRST && result <= RESTART_LAST);
}

static __always_inline bool is_first(__u8 *seen)
{
	bool first = !*seen;

	if (first)
		*seen = 1;
	return first;
}

/* Whether this is the flow's first one of its sort; and which way its very first one went. */
static __always_inline bool begin_flow(struct flow_key *key, enum direction direction, errno_t error, __u8 *first)
{
	struct seen *seen = bpf_map_lookup_elem(&flows, key);

	if (!seen) {
		struct seen none = {.first = direction};

		bpf_map_update_elem(&flows, key, &none, BPF_NOEXIST);
		seen = bpf_map_lookup_elem(&flows, key);
		if (!seen)
			return false;
	}
	*first = seen->first;
	if (error)
		return is_first(&seen->refused);
	return is_first(direction == outbound ? &seen->sent : &seen->received);
}

static __always_inline void fill_datagram(struct network_datagram *event, struct sock *sk, struct endpoint *local,
					  struct flow_key *key, __u8 first)
{
	fill_flow(&event->flow, sk);
	event->flow.peer = key->peer;
	if (local)
		event->flow.local = *local;
	fill_version(&event->flow);
	event->client = first == outbound ? event->flow.local : event->flow.peer;
	event->server = first == outbound ? event->flow.peer : event->flow.local;
}

/*
 * `local` and `peer` as they are in the datagram; NULL: as the socket has them. What is `unresolved` no rule on
 * addresses and ports leaves out: whoever is to be seen could write there what nobody looks at.
 */
static __always_inline int tell_datagram(struct sock *sk, struct endpoint *local, struct endpoint *peer,
					 bool unresolved, __u32 direction, errno_t error)
{
	struct flow_key key = {.socket = inode_of(sk)};
	struct network_datagram event = {};
	__u8 first = 0;

	if (peer)
		key.peer = *peer;
	else
		fill_ends(&event.flow.local, &key.peer, sk);
	if (!begin_flow(&key, direction, error, &first))
		return 0;
	if (!begin_event(&event.header, network_datagram_kind, activity_ring, bpf_get_current_task_btf()))
		return 0;
	fill_datagram(&event, sk, local, &key, first);
	event.error = error;
	event.direction = direction;
	event.peer_unresolved = unresolved;
	if (unresolved || !is_flow_left_out(&event.flow, event.server.port))
		submit(activity_ring, &event.header, sizeof(event));
	return 0;
}

/* Where a packet came from and went to: its headers are still there when a program reads it. */
static __always_inline bool read_packet(struct sk_buff *packet, struct endpoint *local, struct endpoint *peer)
{
	unsigned char *head = BPF_CORE_READ(packet, head);
	unsigned char *network = head + BPF_CORE_READ(packet, network_header);
	unsigned char *transport = head + BPF_CORE_READ(packet, transport_header);
	__be32 ipv4[2];
	__be16 ports[2];
	__u8 version;

	if (bpf_probe_read_kernel(&version, 1, network) || bpf_probe_read_kernel(ports, sizeof(ports), transport))
		return false;
	if (version >> 4 == 4) {
		bpf_probe_read_kernel(ipv4, sizeof(ipv4), network + 12);
		write_ipv4(peer->address, ipv4[0]);
		write_ipv4(local->address, ipv4[1]);
	} else {
		bpf_probe_read_kernel(peer->address, sizeof(address_t), network + 8);
		bpf_probe_read_kernel(local->address, sizeof(address_t), network + 24);
	}
	peer->port = from_network(ports[0]);
	local->port = from_network(ports[1]);
	return true;
}

/* The address in a struct msghdr of user memory: its first word. */
static __always_inline __u64 name_of(__u64 message, bool compat)
{
	__u64 name = 0;

	bpf_probe_read_user(&name, compat ? 4 : 8, (void *)message);
	return name;
}

#endif
