/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which file a call writes to. While it runs, another thread can put another file under its descriptor, so the thread
 * notes the file: where the kernel asks whether it may be written to, elsewhere when the call begins.
 */
#ifndef PODWITNESS_WRITING_H
#define PODWITNESS_WRITING_H

#include "file.h"

#define FMODE_WRITE 2

struct writing {
	__u64 file, inode; /* addresses; 0: nothing is noted */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __s32);
	__type(value, struct writing);
} writing SEC(".maps");

static __always_inline bool is_writing(__u32 number)
{
	switch (number) {
	case __NR_write:
	case __NR_pwrite64:
	case __NR_writev:
	case __NR_pwritev:
	case __NR_pwritev2:
	case __NR_sendfile:
	case __NR_copy_file_range:
	case __NR_splice:
	case __NR_fallocate:
		return true;
	}
	return false;
}

static __always_inline __s32 written_descriptor(struct call *call)
{
	return call->number == __NR_copy_file_range || call->number == __NR_splice ? call->args[2] : call->args[0];
}

static __always_inline void note_writing(struct task_struct *task, struct file *file)
{
	struct writing *noted = bpf_task_storage_get(&writing, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!noted)
		return;
	noted->file = (__u64)file;
	noted->inode = (__u64)BPF_CORE_READ(file, f_inode);
}

/* The same in the middle of a call: the first is the one. That of a layer below (overlay) comes after it. */
static __always_inline void note_first_writing(struct task_struct *task, struct file *file)
{
	struct writing *noted = bpf_task_storage_get(&writing, task, NULL, 0);

	if (!noted || !noted->file)
		note_writing(task, file);
}

/* At the end of a call: what was noted, which is forgotten with that. The file is there until the thread goes back. */
static __always_inline struct writing take_writing(struct task_struct *task)
{
	struct writing *noted = bpf_task_storage_get(&writing, task, NULL, 0), taken = {};

	if (noted) {
		taken = *noted;
		noted->file = 0;
	}
	return taken;
}

/* The file that was noted, else what is under the descriptor now, if the call can have written to it; or NULL. */
static __always_inline struct file *file_written(struct task_struct *task, struct writing *noted, struct call *call)
{
	struct file *file = (void *)noted->file;

	if (file)
		return (__u64)BPF_CORE_READ(file, f_inode) == noted->inode ? file : NULL;
	file = file_of(task, written_descriptor(call));
	return call->result < 0 || BPF_CORE_READ(file, f_mode) & FMODE_WRITE ? file : NULL;
}

#endif
