/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bursts: the same thing done again and again by one process within a window becomes one event, with its count and the
 * time of its last one.
 *
 * The first one's sample is kept in a map; the others only count, before anything is gathered of them. When the window
 * is over the reader has `flush_bursts` (burst.bpf.c) run, which moves samples from the map to the ring: between the
 * two nothing is in user space alone. A map for all CPUs: it is one process that counts in one entry.
 */
#ifndef PODWITNESS_BURST_H
#define PODWITNESS_BURST_H

#include "event.h"

#define BURST_BYTES 640		  /* the largest sample that is kept; longer ones are sent at once */
#define BURST_CLOSED (1ULL << 63) /* in `count`: on its way to the ring, count no more */

/* What makes two events the same; `object` is what the kind says, written whole. */
struct burst_key {
	__u64 start_time;
	__u64 exec_id;
	__u32 pid;
	__u32 kind;
	__u64 object[4];
};

struct burst {
	__u64 count;
	boot_ns_t last;
	__u32 bytes;
	__u32 pad;
	char sample[BURST_BYTES];
};

/* What an event that can be a burst has in its struct, right behind the header. */
struct repeats {
	duration_ns_t lasted; /* from the first one to the last one */
	count_t count;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct burst_key);
	__type(value, struct burst);
} bursts SEC(".maps");

/* What an entry is made of before it is filled in where it lies: on the stack there is no room for one. */
const volatile struct burst no_burst;

/* How long a burst is collected, 0: not at all; and which kinds, a bit each. */
const volatile __u64 burst_window = 0;
const volatile __u64 burst_kinds = 0;

static __always_inline bool can_burst(enum kind kind)
{
	return burst_window && burst_kinds >> kind & 1;
}

/* The key without its object, which the caller fills in. */
static __always_inline void begin_burst(struct burst_key *key, struct header *header)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->start_time = header->start_time;
	key->exec_id = header->exec_id;
	key->pid = header->pid;
	key->kind = header->kind;
}

/* Whether the event is one more of a burst that is being collected; then that is all. */
static __always_inline bool is_repeated(struct burst_key *key, struct header *header)
{
	struct burst *burst = bpf_map_lookup_elem(&bursts, key);

	if (!burst || __sync_fetch_and_add(&burst->count, 1) & BURST_CLOSED)
		return false;
	burst->last = header->time;
	return true;
}

/*
 * Keep the first of what may become a burst; false where it has to be sent at once. `bytes` of its sample, 0 for one
 * that the rules leave out: then it is kept to know the next ones by one look-up. Its time is written last: without one
 * it is in the making, and is let be.
 */
static __always_inline bool keep_burst(struct burst_key *key, struct header *sample, __u32 bytes)
{
	struct reader *state = reader_state();
	struct burst *burst;

	if (!state || bytes > BURST_BYTES || bpf_map_update_elem(&bursts, key, (void *)&no_burst, BPF_NOEXIST))
		return false;
	burst = bpf_map_lookup_elem(&bursts, key);
	if (!burst)
		return false;
	struct header *kept = (struct header *)burst->sample;
	boot_ns_t time = sample->time;

	sample->time = 0;
	barrier_var(bytes);
	if (bytes <= BURST_BYTES)
		bpf_probe_read_kernel(burst->sample, bytes, sample);
	sample->time = time;
	burst->last = time;
	burst->bytes = bytes;
	__sync_fetch_and_add(&burst->count, 1);
	kept->time = time;
	__sync_fetch_and_add(&state->bursts, 1);
	return true;
}

#endif
