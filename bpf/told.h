/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a program in the middle of a call has told, the call's end does not tell again.
 *
 * The end has but the number of a descriptor, behind which another thread can have put something else by then; the
 * middle has the socket itself. So what the middle sees it tells, whoever called, and notes that with the thread.
 */
#ifndef PODWITNESS_TOLD_H
#define PODWITNESS_TOLD_H

#include "socket.h"

/* By thread, the number of the call; NO_CALL: nothing has been told. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __s32);
	__type(value, __u32);
} told_calls SEC(".maps");

static __always_inline void note_told(struct task_struct *task)
{
	__u32 number = call_under_way(task), *told;

	if (number == NO_CALL)
		return;
	told = bpf_task_storage_get(&told_calls, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (told)
		*told = number;
}

/* For the handler at the call's end. */
static __always_inline bool was_told(struct task_struct *task, __u32 number)
{
	__u32 *told = bpf_task_storage_get(&told_calls, task, NULL, 0);

	if (!told || *told != number)
		return false;
	*told = NO_CALL;
	return true;
}

#endif
