/* SPDX-License-Identifier: GPL-2.0-only */
/* What did not reach the reader: how much of it, and when. */
#ifndef PODWITNESS_LOSS_H
#define PODWITNESS_LOSS_H

#include "kernel.h"

typedef __u64 boot_ns_t; /* time on the boot clock */

/* `count` only grows. `since` is the first one after the reader set it to 0, `until` the last one. */
struct loss {
	__u64 count;
	boot_ns_t since;
	boot_ns_t until;
};

/*
 * `until`, `count`, `since`, in this order: the reader takes `since`, clears it, then reads `count` and `until`. So
 * each one it counts lies within the times it has read, or the next loss begins earlier than it had to: never later.
 */
static __always_inline void note_loss(struct loss *loss, __u64 now)
{
	loss->until = now;
	__sync_fetch_and_add(&loss->count, 1);
	if (!loss->since)
		loss->since = now;
}

#endif
