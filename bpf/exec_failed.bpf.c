// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that could not be begun: process.exec_failed.
 *
 * The one who asked is still there, and what it asked for is still in its memory. Only an exec that fails when the old
 * program is gone already (the kernel kills the process then) has nothing left but the new program's file.
 */
#include "argv.h"
#include "file.h"

#define AT_EMPTY_PATH 0x1000

SAMPLE(process_exec_failed)
{
	struct header header;
	errno_t error;
	call_t call;
	__u32 args_count;
	str_len_t path;
	argv_len_t args;
	cut_t path_cut;
	flag_t path_unresolved;
	flag_t args_missing;   /* something of them is not here */
	flag_t args_uncounted; /* there are more of them */
	flag_t fatal;	       /* too late to return: the process is killed */
	__u8 pad[7];
};

SCRATCH(exec_failed_text);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct asked_args);
} exec_failed_args SEC(".maps");

/* setup_arg_pages() says where the new program's arguments begin, create_elf_tables() where they end. */
static __always_inline bool is_too_late(struct task_struct *task)
{
	__u64 end = BPF_CORE_READ(task, mm, arg_end);

	return !end || end < BPF_CORE_READ(task, mm, arg_start);
}

/* The file that is known, where the path asked for is none: behind a descriptor, or run already. */
static __always_inline struct file *known_file(struct call *call, struct task_struct *task, bool too_late)
{
	char first = 0;

	if (too_late)
		return BPF_CORE_READ(task, mm, exe_file);
	if (call->number != __NR_execveat || !(call->args[4] & AT_EMPTY_PATH))
		return NULL;
	bpf_probe_read_user(&first, sizeof(first), (void *)call->args[1]);
	return first ? NULL : file_of(task, call->args[0]);
}

static __always_inline void fill_path(struct text *text, struct process_exec_failed *event, struct call *call,
				      struct task_struct *task)
{
	bool at = call->number == __NR_execveat;
	struct file *file = known_file(call, task, event->fatal);
	char first = 0;

	event->path = 0;
	event->path_cut = 0;
	event->path_unresolved = !file;
	if (file)
		event->path = write_path(text, &file->f_path, task, &event->path_cut);
	if (file || event->fatal)
		return;
	bpf_probe_read_user(&first, sizeof(first), (void *)call->args[at]);
	if (first)
		event->path = write_asked_path(text, (void *)call->args[at], at ? call->args[0] : AT_FDCWD);
}

static __always_inline void fill_args(struct text *text, struct process_exec_failed *event, struct call *call)
{
	__u32 key = 0;
	struct asked_args *args = bpf_map_lookup_elem(&exec_failed_args, &key);

	event->args = 0;
	event->args_count = 0;
	event->args_missing = event->fatal;
	event->args_uncounted = event->fatal;
	if (!args || event->fatal)
		return;
	__builtin_memset(args, 0, sizeof(*args));
	args->next = call->args[call->number == __NR_execveat ? 2 : 1];
	args->address_bytes = is_compat() ? 4 : 8;
	if (!args->next)
		return;
	event->args = write_asked_args(text, args);
	event->args_count = args->count;
	event->args_missing = args->missing;
	event->args_uncounted = !args->ended;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_exec_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&exec_failed_text, &key);
	struct call call;

	if (!text || !read_call(&call, regs, result) || !error_of(call.result))
		return 0;
	struct process_exec_failed *event = STRUCT_OF(text, process_exec_failed);

	if (!begin_event(&event->header, process_exec_failed_kind, activity_ring, task))
		return 0;
	text->used = 0;
	event->error = error_of(call.result);
	event->call = call.number;
	event->fatal = is_too_late(task);
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	fill_path(text, event, &call, task);
	fill_args(text, event, &call);
	__u32 used = text->used;

	if (used <= TEXT_BYTES)
		submit(activity_ring, &event->header, sizeof(*event) + used);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
