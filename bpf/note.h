/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a thread notes in the middle of a system call, for the program at the call's end.
 *
 * A note is a whole sample under construction, so it is in no map that copies its values: an array of places, of which
 * a thread takes one of a few by its number. Where all of them are taken, nothing is noted.
 */
#ifndef PODWITNESS_NOTE_H
#define PODWITNESS_NOTE_H

#include "file.h"

#define NOTES 128    /* calls between hook and end at one time; a power of two */
#define NOTE_TRIES 4 /* places that one thread can have */
#define NOTE_STEP 37
#define NOTE_STALE 60000000000ULL /* ns, after which another may have the place: its owner may never come back */

struct note {
	__u64 owner; /* 0: nobody */
	boot_ns_t since;
	__u32 kind;
	call_t call;   /* in which it was noted: the end of another one has nothing to do with it */
	bool unwanted; /* by the rules for paths */
	struct text text;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NOTES);
	__type(key, __u32);
	__type(value, struct note);
} notes SEC(".maps");

/* For the ends of calls that nobody noted; they cannot be preempted, so one is enough for all handlers. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct note);
} unnoted SEC(".maps");

/* The thread and when it began: a later one with its number is another owner. */
static __always_inline __u64 owner_of(struct task_struct *task)
{
	return task->start_boottime >> 10 << 22 | (__u32)task->pid;
}

static __always_inline struct note *note_at(__u32 place)
{
	__u32 key = place & (NOTES - 1);

	return bpf_map_lookup_elem(&notes, &key);
}

/* What the thread has noted in its call; NULL for nothing. */
static __always_inline struct note *find_note(struct task_struct *task)
{
	__u64 owner = owner_of(task);

	for (int i = 0; i < NOTE_TRIES; i++) {
		struct note *note = note_at(task->pid + i * NOTE_STEP);

		if (note && note->owner == owner)
			return note;
	}
	return NULL;
}

static __always_inline struct note *take_place(struct task_struct *task)
{
	__u64 owner = owner_of(task), now = bpf_ktime_get_boot_ns();

	for (int i = 0; i < NOTE_TRIES; i++) {
		struct note *note = note_at(task->pid + i * NOTE_STEP);

		if (!note)
			return NULL;
		__u64 holder = note->owner;

		if (holder && now - note->since < NOTE_STALE)
			continue;
		if (__sync_val_compare_and_swap(&note->owner, holder, owner) == holder) {
			note->since = now;
			return note;
		}
	}
	return NULL;
}

/* The number of the system call that `task` is in; NO_CALL where nobody asked for it. */
static __always_inline __u32 current_call(struct task_struct *task)
{
	return call_number((struct pt_regs *)bpf_task_pt_regs(task), is_compat());
}

/* For programs in the middle of what `task` does. */
static __always_inline bool is_io_uring(struct task_struct *task)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	return task->flags & PF_IO_WORKER || !is_before_end(regs) ||
	       (!is_compat() && asked_number(regs) == __NR_io_uring_enter);
}

/* Whether what `task` does ends in one of our handlers; the registers of an io_uring worker are those of its maker. */
static __always_inline bool has_end(struct task_struct *task)
{
	return !is_io_uring(task) && current_call(task) < CALLS;
}

/* An event without an end that found no place. */
static __always_inline void lose_note(void)
{
	struct ring_counts *count = counts_of(activity_ring);

	if (!count)
		return;
	__sync_fetch_and_add(&count->produced, 1);
	note_loss(&count->lost, bpf_ktime_get_boot_ns());
}

/* How a noting program begins; NULL where nothing is to be noted. A call that tries again notes again. */
static __always_inline struct note *begin_note(struct task_struct *task, enum kind kind)
{
	if (!is_wanted(kind) || task->flags & PF_KTHREAD || is_own(task))
		return NULL;
	struct note *note = find_note(task);

	if (!note)
		note = take_place(task);
	if (!note) {
		if (!has_end(task))
			lose_note();
		return NULL;
	}
	note->kind = kind;
	note->call = current_call(task);
	note->unwanted = true;
	note->text.used = 0;
	return note;
}

/* A noting program at a kernel function: by a trampoline, and by a kprobe (of five arguments at most) without them. */
#define BY_TRAMPOLINE(name, function, does, ...)                                                                       \
	SEC("fentry/" #function)                                                                                       \
	int BPF_PROG(on_##name, ##__VA_ARGS__)                                                                         \
	{                                                                                                              \
		does;                                                                                                  \
		return 0;                                                                                              \
	}

#define BY_KPROBE(name, function, does, ...)                                                                           \
	SEC("kprobe/" #function)                                                                                       \
	int BPF_KPROBE(probe_##name, ##__VA_ARGS__)                                                                    \
	{                                                                                                              \
		does;                                                                                                  \
		return 0;                                                                                              \
	}

#define NOTING(name, function, does, ...)                                                                              \
	BY_TRAMPOLINE(name, function, does, __VA_ARGS__)                                                               \
	BY_KPROBE(name, function, does, __VA_ARGS__)

#endif
