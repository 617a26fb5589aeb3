// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bursts whose window is over go from their map to their ring. Never attached: the reader has it run, by
 * BPF_PROG_TEST_RUN, each time a window may have ended, and before it ends itself.
 */
#include "burst.h"

static __always_inline void send(struct burst *burst)
{
	struct header *header = (struct header *)burst->sample;
	struct repeats *repeats = (struct repeats *)(burst->sample + sizeof(struct header));
	__u32 bytes = burst->bytes;
	/* From here on who finds the entry sends its own event. */
	__u64 count = __sync_lock_test_and_set(&burst->count, BURST_CLOSED);

	barrier_var(bytes);
	if (bytes > BURST_BYTES)
		return;
	repeats->lasted = burst->last - header->time;
	repeats->count = count;
	submit(activity_ring, header, bytes);
}

struct flushing {
	__u64 before; /* what began earlier is sent */
	__u32 sent;
	__u32 pad;
};

static long flush_burst(void *map, struct burst_key *key, struct burst *burst, struct flushing *flushing)
{
	struct header *header = (struct header *)burst->sample;

	if (!header->time || header->time > flushing->before)
		return 0;
	send(burst);
	bpf_map_delete_elem(&bursts, key);
	flushing->sent++;
	return 0;
}

SEC("raw_tp/podwitness")
int BPF_PROG(flush_bursts, __u64 before)
{
	struct flushing flushing = {.before = before};
	struct reader *state = reader_state();

	bpf_for_each_map_elem(&bursts, flush_burst, &flushing, 0);
	if (state)
		__sync_fetch_and_sub(&state->bursts, flushing.sent);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
