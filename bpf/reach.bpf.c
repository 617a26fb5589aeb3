// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who reaches into other processes: privilege.ptrace, .vm_access, .signal.
 *
 * Who something is done to is looked up by its number when the call has ended (target.h), but for signals, which say
 * it.
 */
#include "call.h"
#include "target.h"

#define SI_USER 0
#define SI_TKILL -6

SAMPLE(privilege_ptrace)
{
	struct header header;
	struct target target;
	ptrace_request_t request;
	tid_t tid;
	errno_t error;
	__u32 pad;
};

SAMPLE(privilege_vm_access)
{
	struct header header;
	struct target target;
	__u64 bytes;
	tid_t tid;
	errno_t error;
	call_t call;
	__u32 pad;
};

SAMPLE(privilege_signal)
{
	struct header header;
	struct target target;
	signal_t signal;
	tid_t tid;
	errno_t error;
	call_t call;
	flag_t ignored;
	__u8 pad[7];
};

#define PTRACE_TRACEME 0

/* Requests that begin to trace another process or change it. Reading it and letting it go on is all a debugger does. */
static __always_inline bool is_ptrace_told(__u64 request)
{
	switch (request) {
	case PTRACE_TRACEME:
	case 4:	     /* POKETEXT */
	case 5:	     /* POKEDATA */
	case 6:	     /* POKEUSR */
	case 8:	     /* KILL */
	case 13:     /* SETREGS */
	case 15:     /* SETFPREGS */
	case 16:     /* ATTACH */
	case 19:     /* SETFPXREGS */
	case 26:     /* SET_THREAD_AREA */
	case 30:     /* ARCH_PRCTL */
	case 0x4203: /* SETSIGINFO */
	case 0x4205: /* SETREGSET */
	case 0x4206: /* SEIZE */
	case 0x420b: /* SETSIGMASK */
	case 0x4212: /* SET_SYSCALL_INFO */
		return true;
	default:
		return false;
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_ptrace_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct privilege_ptrace event = {};
	struct call call;

	if (!read_call(&call, regs, result) || !is_ptrace_told(call.args[0]))
		return 0;
	if (!begin_event(&event.header, privilege_ptrace_kind, activity_ring, task))
		return 0;
	fill_target(&event.target, call.args[0] == PTRACE_TRACEME ? task : find_task(task, call.args[1]));
	event.request = call.args[0];
	event.tid = task->pid;
	event.error = error_of(call.result);
	submit(activity_ring, &event.header, sizeof(event));
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_vm_access_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct privilege_vm_access event = {};
	struct call call;

	if (!read_call(&call, regs, result))
		return 0;
	if (!begin_event(&event.header, privilege_vm_access_kind, activity_ring, task))
		return 0;
	fill_target(&event.target, find_task(task, call.args[0]));
	event.tid = task->pid;
	event.error = error_of(call.result);
	event.bytes = event.error ? 0 : call.result;
	event.call = call.number;
	submit(activity_ring, &event.header, sizeof(event));
	return 0;
}

static __always_inline bool is_init(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	struct upid *own = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
			   BPF_CORE_READ(pid, level) * bpf_core_type_size(struct upid);

	return BPF_CORE_READ(own, nr) == 1;
}

/*
 * Whether a signal leaves its container. Containers differ in their cgroup, and in their pid or mount namespace (of
 * those that share the one or the other, as containers of a pod and of the host can); services of one host, and the
 * cgroups that a container makes within itself, differ in their cgroup only.
 */
static __always_inline bool is_across(struct task_struct *sender, struct task_struct *target)
{
	bool other_pids = pid_namespace_of(sender) != pid_namespace_of(target);
	struct nsproxy *namespaces = BPF_CORE_READ(target, nsproxy); /* NULL: it has ended */
	bool other_mounts = namespaces && BPF_CORE_READ(namespaces, mnt_ns) != BPF_CORE_READ(sender, nsproxy, mnt_ns);

	if (other_pids && is_init(target))
		return true;
	return (other_pids || other_mounts) && cgroup_of(sender) != cgroup_of(target);
}

static __always_inline void tell_signal(struct task_struct *task, struct task_struct *target, __u32 signal, call_t call,
					errno_t error, bool ignored)
{
	struct privilege_signal event = {};

	if (!begin_event(&event.header, privilege_signal_kind, activity_ring, task))
		return;
	fill_target(&event.target, target);
	event.signal = signal;
	event.tid = task->pid;
	event.error = error;
	event.call = call;
	event.ignored = ignored;
	submit(activity_ring, &event.header, sizeof(event));
}

static __always_inline bool is_signal_call(call_t call)
{
	return call == __NR_kill || call == __NR_tkill || call == __NR_tgkill || call == __NR_rt_sigqueueinfo ||
	       call == __NR_rt_tgsigqueueinfo || call == __NR_pidfd_send_signal;
}

/*
 * A signal is on its way, or ignored; who sends it is the current task, where a call for that runs. The kernel's own
 * signals have no sender, and come while any task runs.
 */
SEC("tp_btf/signal_generate")
int BPF_PROG(on_signal, int signal, struct kernel_siginfo *info, struct task_struct *target, int group, int result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	call_t call = call_number((struct pt_regs *)bpf_task_pt_regs(task), is_compat());
	int code;

	if (!is_signal_call(call) || bpf_core_read(&code, sizeof(code), &info->si_code))
		return 0;
	/* rt_sigqueueinfo() takes any negative code from its caller. */
	if (code != SI_USER && code != SI_TKILL &&
	    !(code < 0 &&
	      (call == __NR_rt_sigqueueinfo || call == __NR_rt_tgsigqueueinfo || call == __NR_pidfd_send_signal)))
		return 0;
	if (is_across(task, target))
		tell_signal(task, target, signal, call, 0, result == 1);
	return 0;
}

/* Signals that were refused: a kill() of one process or thread. Nobody is where there is nobody by that number. */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_signal_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call call;

	if (result >= 0 || !read_call(&call, regs, result) || call.number == __NR_pidfd_send_signal)
		return 0;
	bool of_thread = call.number == __NR_tgkill || call.number == __NR_rt_tgsigqueueinfo;
	__s32 number = of_thread ? call.args[1] : call.args[0];
	struct task_struct *target = number > 0 ? find_task(task, number) : NULL;

	if (target && is_across(task, target))
		tell_signal(task, target, of_thread ? call.args[2] : call.args[1], call.number, error_of(call.result),
			    false);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
