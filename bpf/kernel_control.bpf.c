// SPDX-License-Identifier: GPL-2.0-only
/* The machine's own state: kernel.reboot, kernel.settime; and a way round system calls: kernel.io_uring_setup. */
#include "anonymous.h"

SAMPLE(kernel_reboot)
{
	struct header header;
	reboot_command_t command;
	errno_t error;
	call_t call;
	flag_t wrong_magic;
	__u8 pad[3];
};

SAMPLE(kernel_settime)
{
	struct header header;
	total_t time; /* since the Unix epoch, in ns; -1: not set to a time */
	adjustments_t adjustments;
	clock_id_t clock;
	errno_t error;
	call_t call;
	flag_t time_zone;
	__u8 pad[7];
};

SAMPLE(kernel_io_uring_setup)
{
	struct header header;
	__u32 entries;
	io_uring_setup_t flags;
	errno_t error;
	call_t call;
};

/* include/uapi/linux/reboot.h */
#define MAGIC1 0xfee1dead
#define MAGIC2 672274793
#define MAGIC2A 85072278
#define MAGIC2B 369367448
#define MAGIC2C 537993216
#define RESTART 0x01234567
#define RESTART2 0xa1b2c3d4
#define HALT 0xcdef0123
#define POWER_OFF 0x4321fedc

static __always_inline bool is_wrong_magic(__u32 first, __u32 second)
{
	return first != MAGIC1 || (second != MAGIC2 && second != MAGIC2A && second != MAGIC2B && second != MAGIC2C);
}

/* Where all checks are passed; from these commands a caller does not return, nor from one in a pid namespace. */
SEC("fentry/reboot_pid_ns")
int BPF_PROG(on_reboot, struct pid_namespace *namespace, int command)
{
	struct kernel_reboot event = {.command = command, .call = __NR_reboot};

	if (event.command != RESTART && event.command != RESTART2 && event.command != HALT &&
	    event.command != POWER_OFF)
		return 0;
	if (begin_event(&event.header, kernel_reboot_kind, lifecycle_ring, bpf_get_current_task_btf()))
		submit(lifecycle_ring, &event.header, sizeof(event));
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_reboot_call, struct pt_regs *regs, long result)
{
	struct kernel_reboot event = {};
	struct call call;

	if (!read_call(&call, regs, result) ||
	    !begin_event(&event.header, kernel_reboot_kind, ring_of(error_of(call.result)), bpf_get_current_task_btf()))
		return 0;
	event.command = call.args[2];
	event.error = error_of(call.result);
	event.call = call.number;
	event.wrong_magic = is_wrong_magic(call.args[0], call.args[1]);
	submit(ring_of(error_of(call.result)), &event.header, sizeof(event));
	return 0;
}

#define ADJ_OFFSET_SS_READ 0xa001
#define NS 1000000000LL

/* A timespec, or a timeval where `unit` is 1000; 32-bit programs have them half as long. */
static __always_inline __u64 read_time(__u64 at, __u64 unit)
{
	__s64 whole[2] = {};
	__s32 half[2] = {};

	if (!is_compat())
		return bpf_probe_read_user(whole, sizeof(whole), (void *)at) ? -1 : whole[0] * NS + whole[1] * unit;
	return bpf_probe_read_user(half, sizeof(half), (void *)at) ? -1 : half[0] * NS + half[1] * unit;
}

/* False where the call only asks. */
static __always_inline bool fill_settime(struct kernel_settime *event, struct call *call)
{
	__u64 timex = call->args[call->number == __NR_clock_adjtime];

	event->time = -1;
	switch (call->number) {
	case __NR_settimeofday:
		event->time_zone = call->args[1] != 0;
		if (call->args[0])
			event->time = read_time(call->args[0], 1000);
		return call->args[0] || call->args[1];
	case __NR_clock_settime:
		event->clock = call->args[0];
		event->time = read_time(call->args[1], 1);
		return true;
	case __NR_clock_adjtime:
		event->clock = call->args[0];
	}
	/* struct timex begins with its modes; adjtimex() writes back what it was given there */
	bpf_probe_read_user(&event->adjustments, sizeof(event->adjustments), (void *)timex);
	return event->adjustments && event->adjustments != ADJ_OFFSET_SS_READ;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_settime_call, struct pt_regs *regs, long result)
{
	struct kernel_settime event = {};
	struct call call;

	if (!read_call(&call, regs, result) || !fill_settime(&event, &call))
		return 0;
	if (!begin_event(&event.header, kernel_settime_kind, ring_of(error_of(call.result)),
			 bpf_get_current_task_btf()))
		return 0;
	event.error = error_of(call.result);
	event.call = call.number;
	submit(ring_of(error_of(call.result)), &event.header, sizeof(event));
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_io_uring_setup_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct kernel_io_uring_setup event = {};
	struct call call;

	if (!read_call(&call, regs, result) ||
	    !begin_event(&event.header, kernel_io_uring_setup_kind, ring_of(error_of(call.result)), task))
		return 0;
	struct file *file = file_of(task, call.result);

	event.entries = call.args[0];
	event.error = error_of(call.result);
	event.call = call.number;
	/* struct io_uring_params has them third */
	bpf_probe_read_user(&event.flags, sizeof(event.flags), (void *)call.args[1] + 2 * sizeof(__u32));
	if (IS_ANONYMOUS(file, "[io_uring]")) {
		struct io_ring_ctx *ring = BPF_CORE_READ(file, private_data);

		event.flags = BPF_CORE_READ(ring, flags);
	}
	submit(ring_of(error_of(call.result)), &event.header, sizeof(event));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
