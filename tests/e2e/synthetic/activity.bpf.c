// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many cheap events, for tests: one for each getpriority() that asks for a number nobody else asks for.
 *
 * A probe as any other: what a file or network probe will do to the activity ring, this one does today.
 */
#include "event.h"

#define GETPRIORITY 140
#define WHICH 0x7077 /* as in flood.py */

enum synthetic { synthetic_activity_kind = 60 };
const enum synthetic *synthetic_names;

SAMPLE(synthetic_activity)
{
	struct header header;
	__u32 number;
	__u32 pad;
};

SEC("tp_btf/sys_enter")
int BPF_PROG(on_synthetic, struct pt_regs *regs, long id)
{
	struct synthetic_activity event = {};

	struct task_struct *task = bpf_get_current_task_btf();

	if (id != GETPRIORITY || BPF_CORE_READ(regs, di) != WHICH || is_own(task))
		return 0;
	fill_header(&event.header, (enum kind)synthetic_activity_kind, task);
	if (is_unread(activity_ring, &event.header))
		return 0;
	event.number = BPF_CORE_READ(regs, si);
	submit(activity_ring, &event.header, sizeof(event));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
