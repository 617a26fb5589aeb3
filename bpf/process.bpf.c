// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes begin, change their program and end: process.fork, process.exec, process.exit.
 *
 * tp_btf programs on the scheduler's tracepoints: they cannot be missed by a busy system call table, cost no trampoline
 * and exist on every kernel with BTF.
 */
#include "argv.h"
#include "image.h"
#include "marks.h"

SAMPLE(process_exec)
{
	struct header header;
	struct image image;
	tid_t tid; /* the thread that called execve; it has the process's id by now */
	__u32 args_count;
	__u32 args_length; /* all of argv, also what did not fit */
	str_len_t binary;
	str_len_t cwd;
	str_len_t cgroup_path;
	argv_len_t args;
	cut_t binary_cut;
	cut_t cwd_cut;
	cut_t cgroup_cut;
	struct marks marks;
	__u8 pad[4];
};

/* The cloner is who called clone; with CLONE_PARENT, as container runtimes do it, the parent is another. */
SAMPLE(process_fork)
{
	struct header header;
	struct image image;
	boot_ns_t cloner_start_time;
	exec_id_t cloner_exec_id;
	tgid_t cloner;
	__u32 pad;
};

SAMPLE(process_exit)
{
	struct header header;
	exit_code_t code;
	signal_t signal;
	flag_t core_dumped;
	__u8 pad[7];
};

/* What does not fit on the 512-byte stack; a program never nests within itself on one CPU. */
SCRATCH(exec_text);

static __always_inline void fill_exec(struct text *text, struct process_exec *event, struct task_struct *task,
				      struct linux_binprm *bprm)
{
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	struct file *file = BPF_CORE_READ(bprm, file);
	__u64 from = BPF_CORE_READ(task, mm, arg_start);

	text->used = 0;
	event->args_count = BPF_CORE_READ(bprm, argc);
	event->args_length = BPF_CORE_READ(task, mm, arg_end) - from;
	event->binary = write_path(text, &file->f_path, task, &event->binary_cut);
	judge_image(&event->header, text, task);
	event->cwd = 0;
	event->cwd_cut = 0;
	if (gather_cwd)
		event->cwd = write_path(text, &fs->pwd, task, &event->cwd_cut);
	event->cgroup_path = write_cgroup(text, task, &event->cgroup_cut);
	event->args = gather_args ? write_args(text, from, event->args_length) : 0;
	fill_marks(&event->marks, bprm, task);
	__builtin_memset(event->pad, 0, sizeof(event->pad));
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&exec_text, &key);

	if (!text || is_own(task))
		return 0;
	struct process_exec *event = STRUCT_OF(text, process_exec);

	fill_header(&event->header, process_exec_kind, task);
	if (is_unread(lifecycle_ring, &event->header))
		return 0;
	fill_image(&event->image, task);
	event->tid = old_pid;
	fill_exec(text, event, task, bprm);
	__u32 used = text->used;

	if (used <= TEXT_BYTES)
		submit(lifecycle_ring, &event->header, sizeof(*event) + used);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct process_fork event = {};

	/* A new thread is no new process, and the kernel's own threads run no program. */
	if (child->pid != child->tgid || child->flags & PF_KTHREAD || is_own(child))
		return 0;
	fill_header(&event.header, process_fork_kind, child);
	if (is_unread(lifecycle_ring, &event.header))
		return 0;
	fill_image(&event.image, child);
	event.image.exec_count = 0; /* with CLONE_PARENT the child has its cloner's parent_exec_id */
	event.cloner = BPF_CORE_READ(parent, tgid);
	event.cloner_start_time = BPF_CORE_READ(parent, group_leader, start_boottime);
	event.cloner_exec_id = BPF_CORE_READ(parent, group_leader, self_exec_id);
	judge_fork(&event.header, parent);
	submit(lifecycle_ring, &event.header, sizeof(event));
	return 0;
}

/* Processes whose end was told: two threads that leave at once can both find that none is left. */
struct life {
	__u64 start_time;
	__u64 pid;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct life);
	__type(value, __u8);
} ended SEC(".maps");

static __always_inline bool is_first_to_end(struct header *header)
{
	struct life life = {.start_time = header->start_time, .pid = header->pid};
	__u8 told = 1;

	return !bpf_map_update_elem(&ended, &life, &told, BPF_NOEXIST);
}

/* The process's wait status, as wait_task_zombie() has it. */
static __always_inline __u32 wait_status(struct task_struct *task)
{
	if (BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT)
		return BPF_CORE_READ(task, signal, group_exit_code);
	return BPF_CORE_READ(task, group_leader, exit_code);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct process_exit event = {};

	/* do_exit() has counted this thread out already: the one that leaves none behind ends the process. */
	if (BPF_CORE_READ(task, signal, live.counter) != 0 || task->flags & PF_KTHREAD || is_own(task))
		return 0;
	__u32 status = wait_status(task);

	fill_header(&event.header, process_exit_kind, task);
	if (!is_first_to_end(&event.header) || is_unread(lifecycle_ring, &event.header))
		return 0;
	event.signal = status & 0x7f;
	event.code = event.signal ? -1 : (status >> 8) & 0xff;
	event.core_dumped = (status >> 7) & 1;
	submit(lifecycle_ring, &event.header, sizeof(event));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
