// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files are written to: file.write.
 *
 * Writes are seen at the end of their calls, and where io_uring says that it has done one. The end of an open file is
 * the kernel's own (__fput) where programs can stand at functions. Elsewhere no tracepoint tells of it: then it is
 * seen when a descriptor that is the last reference is about to be closed, or its process ends.
 */
#include "written.h"

#include "writing.h"

#define MAY_WRITE 2
#define FALLOC_FL_PUNCH_HOLE 0x02
#define FALLOC_FL_COLLAPSE_RANGE 0x08
#define FALLOC_FL_ZERO_RANGE 0x10
#define FALLOC_FL_INSERT_RANGE 0x20
#define FALLOC_FL_WRITE_ZEROES 0x80
#define IORING_OP_WRITEV 2
#define IORING_OP_WRITE_FIXED 5
#define IORING_OP_FALLOCATE 17
#define IORING_OP_WRITE 23
#define IORING_OP_SPLICE 30
#define IORING_OP_WRITEV_FIXED 61
#define CLOSED_WORDS 16 /* of 64 descriptors each, that are looked at when a process ends */

/* Whether fallocate() with this mode changes what is in the file, not only where it is. */
static __always_inline bool is_wiping(__u32 mode)
{
	return mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE |
		       FALLOC_FL_WRITE_ZEROES);
}

SEC("fentry/security_file_permission")
int BPF_PROG(on_write_check, struct file *file, int mask)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (mask & MAY_WRITE && !(task->flags & (PF_KTHREAD | PF_IO_WORKER)) &&
	    is_writing(call_number((struct pt_regs *)bpf_task_pt_regs(task), is_compat())))
		note_first_writing(task, file);
	return 0;
}

static __always_inline __u64 references(struct file *file)
{
	struct file___referenced *referenced = (void *)file;
	struct file___counted *counted = (void *)file;

	if (bpf_core_field_exists(referenced->f_ref))
		return BPF_CORE_READ(referenced, f_ref.refcnt.counter) + 1;
	return BPF_CORE_READ(counted, f_count.counter);
}

/* Closed for good while it was written to: its last reference was that of the call. It ends when the thread goes back.
 */
static __always_inline bool is_closed(struct file *file)
{
	return (__s64)references(file) <= 0;
}

static __always_inline void tell_closed(struct file *file)
{
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&write_text, &key);

	if (text)
		tell_total(text, file);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_write_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct writing noted = take_writing(task);
	struct call call;

	if (!read_call(&call, regs, result))
		return 0;
	if (call.number == __NR_fallocate ? !is_wiping(call.args[1]) : !call.result)
		return 0;
	struct file *file = file_written(task, &noted, &call);

	if (!file || !is_stored(BPF_CORE_READ(file, f_inode)))
		return 0;
	add_write(file, call.number, call.result);
	if (is_closed(file))
		tell_closed(file);
	return 0;
}

/* Whether an operation of io_uring has written, or should have. */
static __always_inline bool is_uring_write(struct io_kiocb *request, __s64 result)
{
	struct io_sync *allocated = (void *)request; /* it lies where the request begins */

	switch (BPF_CORE_READ(request, opcode)) {
	case IORING_OP_FALLOCATE:
		return is_wiping(BPF_CORE_READ(allocated, mode));
	case IORING_OP_WRITEV:
	case IORING_OP_WRITE_FIXED:
	case IORING_OP_WRITE:
	case IORING_OP_SPLICE:
	case IORING_OP_WRITEV_FIXED:
		return result;
	}
	return false;
}

/* The tracepoint's other arguments differ from kernel to kernel (6.13); the request holds its result. */
SEC("tp_btf/io_uring_complete")
int BPF_PROG(on_uring_write, void *ring, struct io_kiocb *request)
{
	__s64 result = request ? BPF_CORE_READ(request, cqe.res) : 0;

	if (!request || !is_uring_write(request, result))
		return 0;
	struct file *file = BPF_CORE_READ(request, file);

	if (file && is_stored(BPF_CORE_READ(file, f_inode)))
		add_write(file, __NR_io_uring_enter, result);
	return 0;
}

/* Functions can be preempted, tracepoints cannot: a scratch of its own. */
SCRATCH(fput_text);

SEC("fentry/__fput")
int BPF_PROG(on_fput, struct file *file)
{
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&fput_text, &key);

	if (text)
		tell_total(text, file);
	return 0;
}

/* With the descriptors of a process that exits its files end, if it holds all their references. */
static __always_inline bool is_last(struct file *file, struct written *known, tgid_t closer)
{
	if (known->closer != closer) {
		known->closer = closer;
		known->closing = 0;
	}
	known->closing++;
	return references(file) <= (closer ? known->closing : 1);
}

/* A function for the verifier to look at once, not in each turn of a loop. `closer`: who exits, 0: nobody does. */
__attribute__((noinline)) int close_descriptor(__u32 fd, tgid_t closer)
{
	struct file *file = file_of(bpf_get_current_task_btf(), fd);
	struct written *known = file ? written_to(file) : NULL;
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&write_text, &key);

	if (text && known && is_last(file, known, closer))
		tell_total(text, file);
	return 0;
}

/* Numbers of the 32-bit table that close, as x86-64 has them. */
static __always_inline long closing_call(long number)
{
	if (!is_compat())
		return number & ~X32_BIT;
	return number == 6     ? __NR_close
	       : number == 63  ? __NR_dup2
	       : number == 330 ? __NR_dup3
	       : number == 436 ? 436
			       : -1;
}

static __always_inline void enter_closing(struct call *call, long number)
{
	__u32 first = call->args[0], last = call->args[1];

	if (number == __NR_close) {
		close_descriptor(first, 0);
	} else if (number != __NR_close_range) {
		if (first != last && file_of(bpf_get_current_task_btf(), first))
			close_descriptor(last, 0);
	} else if (!call->args[2]) { /* else it closes later, or another table's */
		for (__u32 i = 0; i < CLOSED_WORDS * 64 && first + i <= last && first + i >= first; i++)
			close_descriptor(first + i, 0);
	}
}

static __always_inline void enter_writing(struct call *call)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *file = file_of(task, written_descriptor(call));

	if (file && BPF_CORE_READ(file, f_mode) & FMODE_WRITE)
		note_writing(task, file);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_file_enter, struct pt_regs *regs, long number)
{
	bool compat = is_compat();
	struct call call;

	call.number = call_number(regs, compat);
	number = closing_call(number);
	bool closes = number == __NR_close || number == __NR_dup2 || number == __NR_dup3 || number == __NR_close_range;

	if (!closes && !is_writing(call.number))
		return 0;
	read_args(&call, regs, compat);
	if (closes)
		enter_closing(&call, number);
	else
		enter_writing(&call);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_files_exit, struct task_struct *task)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);

	if (BPF_CORE_READ(task, signal, live.counter) != 0 || task->flags & PF_KTHREAD || !table)
		return 0;
	for (__u32 i = 0; i < CLOSED_WORDS; i++) {
		__u64 open = 0;

		if (i * 64 >= BPF_CORE_READ(table, max_fds))
			break;
		bpf_probe_read_kernel(&open, sizeof(open), BPF_CORE_READ(table, open_fds) + i);
		for (__u32 bit = 0; bit < 64 && open; bit++, open >>= 1) {
			if (open & 1)
				close_descriptor(i * 64 + bit, task->tgid);
		}
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
