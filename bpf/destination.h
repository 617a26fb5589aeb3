/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What each process image does with each remote end that it connects to, counted here and read at intervals.
 *
 * Numbers only grow, by atomics, so that the reader may be late, or another one, and still has all of them. Where there
 * is no room for one more destination it counts in the entry whose key is all zero, which user space makes: then nobody
 * knows whose it was, but sums stay right. That no process alone can take the room, each has a share; what is beyond it
 * counts in an entry of the process's own, without a destination.
 */
#ifndef PODWITNESS_DESTINATION_H
#define PODWITNESS_DESTINATION_H

#include "event.h"

#define DESTINATIONS 8192
#define SHARE (DESTINATIONS / 16)
#define SHARERS 4096
#define LATENCIES 25 /* 1 µs at most, 2, 4 ... 2^23 (8 s), more */

/* No bytes between its members: the whole is compared. */
struct destination_key {
	boot_ns_t start_time;
	exec_id_t exec_id;
	tgid_t pid;
	ip_protocol_t protocol;
	port_t port;
	address_t address;
};

struct destination {
	boot_ns_t first; /* counted since */
	cgroup_id_t cgroup;
	__u64 established;
	__u64 failed;
	__u64 begun; /* of `established` those whose end will be known */
	__u64 ended;
	byte_count_t sent; /* by those that have ended */
	byte_count_t received;
	duration_ns_t latency; /* sum over `latencies`; 0 each for what is connected without an answer */
	__u64 latencies[LATENCIES];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, DESTINATIONS);
	__type(key, struct destination_key);
	__type(value, struct destination);
} destinations SEC(".maps");

struct sharer {
	boot_ns_t start_time;
	__u64 pid;
};

/* How many entries have been made for each process. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SHARERS);
	__type(key, struct sharer);
	__type(value, __u32);
} shares SEC(".maps");

const volatile bool count_destinations = false;

/* How an entry begins; it is too large for a stack. */
static const struct destination no_destination;

/* Whether a process may have one entry more; then it has. */
static __always_inline bool take_share(struct destination_key *key)
{
	struct sharer sharer = {key->start_time, key->pid};
	__u32 *taken = bpf_map_lookup_elem(&shares, &sharer), first = 1;

	if (!taken) {
		bpf_map_update_elem(&shares, &sharer, &first, BPF_NOEXIST);
		return true;
	}
	return *taken < SHARE && __sync_fetch_and_add(taken, 1) < SHARE;
}

/* The entry of a key, made where there is none. */
static __always_inline struct destination *destination_of(struct destination_key *key, struct header *header)
{
	struct destination *found = bpf_map_lookup_elem(&destinations, key);

	if (found)
		return found;
	if (!take_share(key)) {
		key->protocol = key->port = 0;
		__builtin_memset(key->address, 0, sizeof(key->address));
		found = bpf_map_lookup_elem(&destinations, key);
		if (found)
			return found;
	}
	if (!bpf_map_update_elem(&destinations, key, &no_destination, BPF_NOEXIST)) {
		found = bpf_map_lookup_elem(&destinations, key);
		if (found) {
			found->cgroup = header->cgroup;
			found->first = header->time; /* last: until then the reader leaves it alone */
		}
		return found;
	}
	found = bpf_map_lookup_elem(&destinations, key); /* another CPU was faster */
	if (found)
		return found;
	__builtin_memset(key, 0, sizeof(*key));
	return bpf_map_lookup_elem(&destinations, key);
}

/* The bucket of a latency: the bits of its microseconds less one, so that 2^n µs is the last of its bucket. */
static __always_inline __u32 bucket_of(duration_ns_t latency)
{
	__u64 rest = (latency - 1) / 1000;
	__u32 bits = 0, shift;

	if (rest >> (LATENCIES - 1))
		return LATENCIES - 1;
	shift = (rest > 0xffff) << 4;
	rest >>= shift;
	bits += shift;
	shift = (rest > 0xff) << 3;
	rest >>= shift;
	bits += shift;
	shift = (rest > 0xf) << 2;
	rest >>= shift;
	bits += shift;
	shift = (rest > 0x3) << 1;
	rest >>= shift;
	bits += shift;
	return bits + (rest > 1) + (rest > 0);
}

/* What came of a connect; `latency` 0: nothing was waited for, and its end will not be known. */
static __always_inline void count_outcome(struct destination *to, errno_t error, duration_ns_t latency)
{
	__u32 bucket;

	if (error) {
		__sync_fetch_and_add(&to->failed, 1);
		return;
	}
	__sync_fetch_and_add(&to->established, 1);
	if (!latency)
		return;
	bucket = bucket_of(latency);
	barrier_var(bucket);
	if (bucket >= LATENCIES)
		return;
	__sync_fetch_and_add(&to->begun, 1);
	__sync_fetch_and_add(&to->latency, latency);
	__sync_fetch_and_add(&to->latencies[bucket], 1);
}

/* The end of a connection; bytes that nobody knows (~0) count as none. */
static __always_inline void count_end(struct destination *to, byte_count_t sent, byte_count_t received)
{
	if (sent != ~0ULL)
		__sync_fetch_and_add(&to->sent, sent);
	if (received != ~0ULL)
		__sync_fetch_and_add(&to->received, received);
	__sync_fetch_and_add(&to->ended, 1);
}

#endif
