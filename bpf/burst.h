/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bursts: the same thing done again and again by one process within a window becomes one event, with its count and the
 * time of its last one.
 *
 * The first one's sample is kept in a map; the others only count. What the first one tells must be true of them all:
 * what is not known by its numbers (a file, by its path) is gathered each time, and compared with what is kept. When
 * the window is over the reader has `flush_bursts` (burst.bpf.c) run, which moves samples from the map to the ring:
 * between the two nothing is in user space alone. A map for all CPUs: it is one process that counts in one entry.
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

/* One more of a burst; false where that is on its way to the ring. */
static __always_inline bool count_in(struct burst *burst, struct header *header)
{
	if (__sync_fetch_and_add(&burst->count, 1) & BURST_CLOSED)
		return false;
	burst->last = header->time;
	return true;
}

/* Whether the event is one more of a burst that is being collected, by its key alone; then that is all. */
static __always_inline bool is_repeated(struct burst_key *key, struct header *header)
{
	struct burst *burst = bpf_map_lookup_elem(&bursts, key);

	return burst && count_in(burst, header);
}

/*
 * Keep the first of what may become a burst, `bytes` of its sample; false where it has to be sent at once. Its time is
 * written last: without one it is in the making, and is let be.
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

/* A sample with as much behind it as may be kept; from TOLD on is what it tells. */
struct telling {
	char bytes[BURST_BYTES];
};

#define TOLD (sizeof(struct header) + sizeof(struct repeats))

/* Eight bytes of a sample; behind its end is what was there before. */
static __always_inline __u64 told_at(struct telling *sample, __u32 at, __u32 bytes)
{
	__u64 word = *(__u64 *)&sample->bytes[at], left = bytes - at;

	return left < 8 ? word & ((1ULL << 8 * left) - 1) : word;
}

/* A number for what is told. Anybody can find two things with one number: it finds a burst, and does not decide. */
__noinline __u64 hash_told(struct telling *sample, __u32 bytes)
{
	__u64 hash = 0xcbf29ce484222325; /* FNV-1a, eight bytes at a time */

	if (!sample)
		return 0;
	for (__u32 at = TOLD; at < BURST_BYTES; at += 8) {
		if (at >= bytes)
			break;
		hash = (hash ^ told_at(sample, at, bytes)) * 0x100000001b3;
		hash ^= hash >> 29;
	}
	return hash;
}

/* Whether the sample that is kept tells the same; one in the making does not. */
__noinline int is_told_by(struct burst *burst, struct telling *sample, __u32 bytes)
{
	if (!burst || !sample || burst->bytes != bytes || !((struct header *)burst->sample)->time)
		return 0;
	for (__u32 at = TOLD; at < BURST_BYTES; at += 8) {
		if (at >= bytes)
			break;
		if (*(__u64 *)&burst->sample[at] != told_at(sample, at, bytes))
			return 0;
	}
	return 1;
}

/* Whether the event, gathered whole, is in a burst now: of those that tell the same. Else it has to be sent. */
static __always_inline bool joins_burst(struct header *header, __u32 bytes)
{
	struct telling *sample = (struct telling *)header;
	struct burst_key key;

	if (bytes > BURST_BYTES)
		return false;
	begin_burst(&key, header);
	key.object[0] = hash_told(sample, bytes);
	struct burst *burst = bpf_map_lookup_elem(&bursts, &key);

	if (burst)
		return is_told_by(burst, sample, bytes) && count_in(burst, header);
	return keep_burst(&key, header, bytes);
}

#endif
