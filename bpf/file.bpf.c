// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files are opened: file.open.
 *
 * At the end of the call its file is there: the path is the kernel's own, walked after the fact. A call that failed has
 * no file; then the path is as it was asked for, and marked.
 */
#include "burst.h"
#include "file.h"

#define O_ACCMODE 3
#define O_CREAT 0100
#define O_TRUNC 01000
#define O_LARGEFILE 0100000
#define O_CLOEXEC 02000000
#define UNKEPT (O_CREAT | 0200 | 0400 | O_TRUNC | O_CLOEXEC) /* by an open file: O_EXCL, O_NOCTTY among them */
#define FMODE_CREATED 0x100000

SAMPLE(file_open)
{
	struct header header;
	struct repeats repeats;
	struct object object;
	errno_t error;
	open_flags_t flags;
	call_t call;
	str_len_t path;
	cut_t path_cut;
	flag_t path_unresolved;
	flag_t created;
	__u8 pad[5];
};

SCRATCH(open_text);

static __always_inline __u32 open_flags(struct call *call)
{
	__u64 flags = 0;

	switch (call->number) {
	case __NR_open:
		return call->args[1];
	case __NR_creat:
		return O_CREAT | O_TRUNC | 1;
	case __NR_openat2: /* struct open_how begins with them */
		bpf_probe_read_user(&flags, sizeof(flags), (void *)call->args[2]);
		return flags;
	default:
		return call->args[2];
	}
}

static __always_inline bool has_directory(struct call *call)
{
	return call->number != __NR_open && call->number != __NR_creat;
}

/*
 * How a file is open is the file's own word. What it does not keep, and all of an open that failed, is as it was asked
 * for, and for openat2() in memory that can be written meanwhile.
 */
static __always_inline void fill_flags(struct file_open *event, struct file *file, __u32 asked)
{
	event->created = file && BPF_CORE_READ(file, f_mode) & FMODE_CREATED;
	event->flags = file ? (BPF_CORE_READ(file, f_flags) & ~(O_LARGEFILE | UNKEPT)) | (asked & UNKEPT) : asked;
	if (event->created)
		event->flags |= O_CREAT;
}

/* What somebody asked for: to read, to write, to create, a bit each. */
const volatile __u8 open_access = 7;

/* To empty a file is to write it, whatever it is opened for; a refused open would have created it where it may. */
static __always_inline bool is_access_left_out(struct file_open *event)
{
	__u32 mode = event->flags & O_ACCMODE;
	bool creates = event->created || (event->error && event->flags & O_CREAT);
	__u8 access = (mode != 1) | (mode != 0 || event->flags & O_TRUNC) << 1 | creates << 2;

	return !(access & open_access);
}

/* The path as it was asked for; what was asked for by a handle, or of io_uring, has none. */
static __always_inline void ask_opened(struct text *text, struct file_open *event, struct call *call)
{
	bool at = has_directory(call);

	event->path_unresolved = 1;
	event->path_cut = 0;
	event->path = 0;
	if (call->number != __NR_open_by_handle_at)
		event->path = write_asked_path(text, (void *)call->args[at], at ? call->args[0] : AT_FDCWD);
}

/* Who opened it is known, and what came of it: tell it, once for a burst. What rules leave out ends at its path. */
static __always_inline void tell_open(struct text *text, struct file_open *event, struct file *file, struct call *call,
				      struct task_struct *task)
{
	text->used = 0;
	event->path_unresolved = 0;
	if (file)
		event->path = write_path(text, &file->f_path, task, &event->path_cut);
	else
		ask_opened(text, event, call);
	if (text->used && is_path_left_out(text, 0)) /* what has no path may be anywhere */
		return;
	if (file)
		fill_object(&event->object, BPF_CORE_READ(file, f_inode));
	else
		clear_object(&event->object);
	event->repeats = (struct repeats){.count = 1};
	if (can_burst(file_open_kind) && joins_burst(&event->header, sizeof(*event) + text->used))
		return;
	__u32 used = text->used;

	if (used <= TEXT_BYTES)
		submit(activity_ring, &event->header, sizeof(*event) + used);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_open_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&open_text, &key);
	struct call call;

	if (!text || !read_call(&call, regs, result))
		return 0;
	struct file_open *event = STRUCT_OF(text, file_open);

	if (!begin_event(&event->header, file_open_kind, activity_ring, task))
		return 0;
	struct file *file = file_of(task, call.result);

	event->error = error_of(call.result);
	event->call = call.number;
	fill_flags(event, file, open_flags(&call));
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	if (!is_access_left_out(event))
		tell_open(text, event, file, &call, task);
	return 0;
}

#define FMODE_EXEC 040 /* include/linux/fs.h: not for open(), but for execve() */
#define O_NONBLOCK 04000
#define IORING_OP_OPENAT 18
#define IORING_OP_OPENAT2 28

/* A function can be preempted, and another program run meanwhile: each has a scratch of its own. */
SCRATCH(filp_text);

/* The call that ends in this, and its flags: the kernel's own have lost O_CLOEXEC. Those of io_uring stay so. */
static __always_inline void fill_asked(struct file_open *event, struct task_struct *task, __u32 flags)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct call call = {.number = task->flags & PF_IO_WORKER ? __NR_io_uring_enter : asked_number(regs) & ~X32_BIT};

	event->flags = flags & ~O_LARGEFILE;
	event->call = is_compat() ? NO_CALL : call.number;
	if (event->call == __NR_io_uring_enter)
		event->flags &= ~O_NONBLOCK; /* its own, for the first try */
	if (is_compat() || (call.number != __NR_open && call.number != __NR_openat && call.number != __NR_openat2))
		return;
	read_args(&call, regs, false);
	event->flags |= open_flags(&call) & O_CLOEXEC;
}

/* Every way to open a file by its path comes through here, io_uring's too, with the file in hand: no other thread can
 * have put another one under its number.
 */
SEC("fexit/do_filp_open")
int BPF_PROG(on_filp_open, int directory, struct filename *name, struct open_flags *how, struct file *file)
{
	struct task_struct *task = bpf_get_current_task_btf();
	bool failed = error_of((long)file) != 0;
	struct call call = {.number = __NR_openat, .args = {directory, (__u64)BPF_CORE_READ(name, uptr)}};
	__u32 key = 0, flags = BPF_CORE_READ(how, open_flag);
	struct text *text = bpf_map_lookup_elem(&filp_text, &key);

	if (!text || flags & FMODE_EXEC || task->flags & PF_KTHREAD)
		return 0;
	struct file_open *event = STRUCT_OF(text, file_open);

	if (!begin_event(&event->header, file_open_kind, activity_ring, task))
		return 0;
	event->error = error_of((long)file);
	fill_asked(event, task, flags);
	if (event->call == __NR_io_uring_enter && event->error == EAGAIN)
		return 0; /* it tries without waiting first, and a worker tries again */
	event->created = !failed && BPF_CORE_READ(file, f_mode) & FMODE_CREATED;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	if (!is_access_left_out(event))
		tell_open(text, event, failed ? NULL : file, &call, task);
	return 0;
}

SCRATCH(uring_text);

/*
 * What io_uring has opened under a descriptor. Of what it could not open nothing is left but the result, and of what
 * has no descriptor (IORING_FILE_INDEX) nothing at all.
 */
SEC("tp_btf/io_uring_complete")
int BPF_PROG(on_uring_open, void *ring, struct io_kiocb *request)
{
	__u8 operation = request ? BPF_CORE_READ(request, opcode) : 0;
	struct io_open *open = (void *)request; /* it lies where the request begins */
	struct call call = {.number = __NR_open_by_handle_at};
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&uring_text, &key);

	if ((operation != IORING_OP_OPENAT && operation != IORING_OP_OPENAT2) || !text)
		return 0;
	__s32 result = BPF_CORE_READ(request, cqe.res);
	struct file *file = BPF_CORE_READ(open, file_slot) ? NULL : file_of(task, result);
	struct file_open *event = STRUCT_OF(text, file_open);

	if (!begin_event(&event->header, file_open_kind, activity_ring, task))
		return 0;
	event->error = error_of(result);
	event->call = __NR_io_uring_enter;
	fill_flags(event, file, BPF_CORE_READ(open, how.flags) & ~O_LARGEFILE);
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	if (!is_access_left_out(event))
		tell_open(text, event, file, &call, task);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
