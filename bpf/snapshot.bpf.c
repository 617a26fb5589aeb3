// SPDX-License-Identifier: GPL-2.0-only
/*
 * The processes that were there before the probes: an iterator over all tasks, read once at start.
 *
 * The reader attaches the probes first, reads this, and merges by (pid, start time): nothing falls between.
 * Each record is its length (8 bytes), the struct, its strings. Arguments are the user's memory, which an iterator
 * cannot read on every kernel; user space takes them from /proc.
 */
#include "burst.h" /* for their maps: the iterator makes all that the programs share */
#include "destination.h"
#include "image.h"

SAMPLE(process_snapshot)
{
	struct header header;
	struct image image;
	tid_t tid;
	tgid_t reader; /* the agent in the host's pid namespace, which it cannot know by itself */
	str_len_t binary;
	str_len_t cwd;
	str_len_t cgroup_path;
	cut_t binary_cut;
	cut_t cwd_cut;
	cut_t cgroup_cut;
	__u8 pad[1];
};

SCRATCH(snapshot_text);

static __always_inline void fill_place(struct text *text, struct process_snapshot *event, struct task_struct *task)
{
	struct file *file = BPF_CORE_READ(task, mm, exe_file);
	struct fs_struct *fs = BPF_CORE_READ(task, fs);

	text->used = 0;
	event->binary = 0;
	event->binary_cut = 0;
	/* A kernel thread has no program, a zombie has no directory any more. */
	if (file && fs)
		event->binary = write_path(text, &file->f_path, task, &event->binary_cut);
	judge_image(&event->header, text, task);
	event->cwd = 0;
	event->cwd_cut = 0;
	if (fs)
		event->cwd = write_path(text, &fs->pwd, task, &event->cwd_cut);
	event->cgroup_path = write_cgroup(text, task, &event->cgroup_cut);
}

SEC("iter/task")
int on_task(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&snapshot_text, &key);

	if (task && !(task->flags & PF_KTHREAD) && are_rights_wanted())
		learn_rights(task);
	if (!text || !task || task->pid != task->tgid)
		return 0;
	struct process_snapshot *event = STRUCT_OF(text, process_snapshot);

	fill_header(&event->header, process_snapshot_kind, task);
	fill_image(&event->image, task);
	event->tid = task->pid;
	event->reader = bpf_get_current_pid_tgid() >> 32;
	event->pad[0] = 0;
	fill_place(text, event, task);
	__u32 used = text->used;

	if (used > TEXT_BYTES)
		return 0;
	__u64 bytes = sizeof(*event) + used;

	if (!bpf_seq_write(seq, &bytes, sizeof(bytes)))
		bpf_seq_write(seq, event, sizeof(*event) + used);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
