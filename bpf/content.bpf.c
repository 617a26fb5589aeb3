// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regular files are written to: file.write.
 *
 * Writes are seen at the end of their calls, and where io_uring says that it has done one. The end of an open file is
 * the kernel's own (__fput) where programs can stand at functions. Elsewhere no tracepoint tells of it: then it is
 * seen when a descriptor that is the last reference is about to be closed, or its process ends.
 */
#include "written.h"

#define IORING_OP_WRITEV 2
#define IORING_OP_WRITE_FIXED 5
#define IORING_OP_WRITE 23
#define CLOSED_WORDS 16 /* of 64 descriptors each, that are looked at when a process ends */

static __always_inline __s32 written_descriptor(struct call *call)
{
	return call->number == __NR_copy_file_range || call->number == __NR_splice ? call->args[2] : call->args[0];
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_write_call, struct pt_regs *regs, long result)
{
	struct call call;

	if (!read_call(&call, regs, result) || !call.result)
		return 0;
	struct file *file = file_of(bpf_get_current_task_btf(), written_descriptor(&call));

	if (file && is_stored(BPF_CORE_READ(file, f_inode)))
		add_write(file, call.number, call.result);
	return 0;
}

/* The tracepoint's other arguments differ from kernel to kernel (6.13); the request holds its result. */
SEC("tp_btf/io_uring_complete")
int BPF_PROG(on_uring_write, void *ring, struct io_kiocb *request)
{
	__u8 operation = request ? BPF_CORE_READ(request, opcode) : 0;

	if (operation != IORING_OP_WRITE && operation != IORING_OP_WRITEV && operation != IORING_OP_WRITE_FIXED)
		return 0;
	struct file *file = BPF_CORE_READ(request, file);
	__s64 result = BPF_CORE_READ(request, cqe.res);

	if (file && result && is_stored(BPF_CORE_READ(file, f_inode)))
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

static __always_inline __u64 references(struct file *file)
{
	struct file___referenced *referenced = (void *)file;
	struct file___counted *counted = (void *)file;

	if (bpf_core_field_exists(referenced->f_ref))
		return BPF_CORE_READ(referenced, f_ref.refcnt.counter) + 1;
	return BPF_CORE_READ(counted, f_count.counter);
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
		return number;
	return number == 6     ? __NR_close
	       : number == 63  ? __NR_dup2
	       : number == 330 ? __NR_dup3
	       : number == 436 ? 436
			       : -1;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_close_enter, struct pt_regs *regs, long number)
{
	struct call call;

	number = closing_call(number);
	if (number != __NR_close && number != __NR_dup2 && number != __NR_dup3 && number != __NR_close_range)
		return 0;
	read_args(&call, regs, is_compat());
	__u32 first = call.args[0], last = call.args[1];

	if (number == __NR_close) {
		close_descriptor(first, 0);
	} else if (number != __NR_close_range) {
		if (first != last && file_of(bpf_get_current_task_btf(), first))
			close_descriptor(last, 0);
	} else if (!call.args[2]) { /* else it closes later, or another table's */
		for (__u32 i = 0; i < CLOSED_WORDS * 64 && first + i <= last && first + i >= first; i++)
			close_descriptor(first + i, 0);
	}
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
