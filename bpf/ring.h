/* SPDX-License-Identifier: GPL-2.0-only */
/* The rings, what is counted of them, and what reader and programs tell each other. */
#ifndef PODWITNESS_RING_H
#define PODWITNESS_RING_H

#include "sample.h"

/*
 * Set before load; constant for the verifier, which cuts out what they exclude. Part of what a generation is: what
 * changes from agent to agent is in struct reader.
 */
const volatile __u64 wake_bytes = 65536; /* less where a ring is small */
const volatile __u64 wanted = ~0ULL;	 /* kinds that somebody asked for, a bit each */

static __always_inline bool is_wanted(enum kind kind)
{
	return wanted >> kind & 1;
}

/* Sizes here are for the loader to change; the programs of all objects share the maps of this file. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 23);
} lifecycle SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} activity SEC(".maps");

/* Programs for the ends of system calls, by number: see call.h. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 512);
	__type(key, __u32);
	__type(value, __u32);
} calls SEC(".maps");

/* One entry a ring, in the order of `enum ring`; user space reads them to know what was lost. */
enum ring { lifecycle_ring, activity_ring, rings };

struct ring_counts {
	__u64 produced;
	struct loss lost;   /* the ring was full */
	struct loss unread; /* nobody had read for so long that the lease was over */
	struct loss shed;   /* the reader wants less of the kind for now */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, rings);
	__type(key, __u32);
	__type(value, struct ring_counts);
} counts SEC(".maps");

/*
 * Shared with the reader, which maps it and writes it: who it is, until when it promises to read, and when it goes to
 * sleep for longer than its usual poll. Pinned programs outlive the agent that loaded them, so this is no constant.
 * Later builds only add to its end: they look into the words of earlier ones.
 */
struct reader {
	__u32 asleep;
	tgid_t agent_tgid;	  /* the agent and its children are not observed; 0: all are */
	boot_ns_t agent_start;	  /* tells the agent from a later process with its pid */
	cgroup_id_t agent_cgroup; /* nor its cgroup, where it has one of its own */
	boot_ns_t lease_until;	  /* 0: no lease */
	__u64 shed;		  /* kinds of the activity ring that are left out for now, a bit each */
	boot_ns_t looked;	  /* not for the programs: when the reader last took the beginnings of losses */
	__u32 unsaved;		  /* nor this: records were sent whose numbers the reader's spool does not know */
	__u32 bursts;		  /* how many are being collected (burst.h) */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reader);
} reader SEC(".maps");

static __always_inline struct reader *reader_state(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&reader, &key);
}

static __always_inline struct ring_counts *counts_of(enum ring which)
{
	__u32 key = which;

	return bpf_map_lookup_elem(&counts, &key);
}

/*
 * Whether the reader has been away for longer than its lease; then the event is counted, and that is all. No lease is
 * 0, which becomes the end of time: one compare.
 */
static __always_inline bool is_unread(enum ring which, struct header *header)
{
	struct reader *state = reader_state();
	struct ring_counts *count = counts_of(which);

	if (!state || !count || header->time <= state->lease_until - 1)
		return false;
	note_loss(&count->unread, header->time);
	return true;
}

#define RING_HEADER_BYTES 8

/*
 * Wake the reader when this record crosses a boundary of 64 KiB in the producer position, not for every event: a
 * wake-up costs more than reading the record. While events come the reader polls besides; when none come it sleeps, and
 * the first one wakes it.
 */
static __always_inline __u64 wake_flag(void *ring, struct reader *state, __u64 bytes)
{
	__u64 at = bpf_ringbuf_query(ring, BPF_RB_PROD_POS);
	__u64 end = at + ((bytes + RING_HEADER_BYTES + 7) & ~7ULL);

	if (state->asleep) {
		state->asleep = 0;
		return BPF_RB_FORCE_WAKEUP;
	}
	return (at ^ end) / wake_bytes ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/* The last half of the lifecycle ring is for lives: whatever else a process can do without end, who did it is told. */
static __always_inline bool is_reserved(enum ring which, __u32 kind)
{
	if (which != lifecycle_ring || kind <= process_exit_kind)
		return false;
	return bpf_ringbuf_query(&lifecycle, BPF_RB_AVAIL_DATA) > bpf_ringbuf_query(&lifecycle, BPF_RB_RING_SIZE) / 2;
}

/* Put a whole sample into a ring; `sample` begins with its header. Of `lifecycle` nothing is ever shed. */
static __always_inline void submit(enum ring which, struct header *sample, __u64 bytes)
{
	void *ring = which == lifecycle_ring ? (void *)&lifecycle : (void *)&activity;
	struct ring_counts *count = counts_of(which);
	struct reader *state = reader_state();

	if (!count || !state)
		return;
	if (which == activity_ring && state->shed >> (sample->kind & 63) & 1) {
		note_loss(&count->shed, sample->time);
		return;
	}
	sample->sequence = __sync_fetch_and_add(&count->produced, 1);
	if (is_reserved(which, sample->kind) || bpf_ringbuf_output(ring, sample, bytes, wake_flag(ring, state, bytes)))
		note_loss(&count->lost, sample->time);
}

#endif
