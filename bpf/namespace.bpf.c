// SPDX-License-Identifier: GPL-2.0-only
/*
 * Namespaces are entered and made: namespace.setns, namespace.unshare, namespace.clone; and entered that are the
 * host's: namespace.escape.
 *
 * A thread has its namespaces for itself. Those it has when the call ends are in its own structs; those it had before
 * are gone by then, so they are kept with the thread: from the beginning of the call where the kernel runs trampolines,
 * else from the end of its last one. Where neither has told yet they are 0, and the reader takes the process's.
 */
#include "namespaces.h"
#include "setns.h"
#include "user_namespace.h"

SAMPLE(namespace_setns)
{
	struct header header;
	struct ns_change change;
	other_ns_t asked;    /* by the descriptor of a namespace */
	other_tgid_t target; /* by the descriptor of a process */
	namespace_types_t asked_types;
	__u32 pad;
};

SAMPLE(namespace_unshare)
{
	struct header header;
	struct ns_change change;
	clone_flags_t flags;
};

/* `old` are the parent's, `new` the child's. */
SAMPLE(namespace_clone)
{
	struct header header;
	struct ns_change change;
	clone_flags_t flags;
	other_tgid_t child;
	__u32 pad;
};

/* Namespaces of the host's init entered by a thread that was not in them. Whether it is a container's the reader knows.
 */
SAMPLE(namespace_escape)
{
	struct header header;
	struct ns_change change;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct namespaces);
} known SEC(".maps");

/* The beginning of a call that changes namespaces. */
static __always_inline int note_namespaces(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct namespaces *before = bpf_task_storage_get(&known, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (before)
		read_namespaces(before, task);
	return 0;
}

#define BEGIN(name, section)                                                                                           \
	SEC(section)                                                                                                   \
	int BPF_PROG(name)                                                                                             \
	{                                                                                                              \
		return note_namespaces();                                                                              \
	}

BEGIN(on_setns_begin, "fentry/__x64_sys_setns")
BEGIN(on_setns32_begin, "fentry/__ia32_sys_setns")
BEGIN(on_unshare_begin, "fentry/ksys_unshare")

/*
 * What a call has changed, all types; also of calls that nobody wants to hear of, so that the next one knows. The
 * kernel's own read writes zeros where nothing is known: the verifier need not follow one way for each case.
 */
static __always_inline void fill_ns_change(struct ns_change *change, struct task_struct *task, struct call *call)
{
	struct namespaces *before = bpf_task_storage_get(&known, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	change->error = error_of(call->result);
	change->call = call->number;
	change->tid = task->pid;
	read_namespaces(&change->new, task);
	bpf_probe_read_kernel(&change->old, sizeof(change->old), change->error ? (void *)&change->new : before);
	if (before)
		*before = change->new;
	keep_types(&change->new, ALL_TYPES & ~if_differing(change->error, 0, ALL_TYPES));
}

/*
 * By where the thread was and is, whatever the descriptor says; where it was before nobody knows, the reader does. The
 * host's namespaces are those of its init: level 0 of every pid is the first pid namespace.
 */
static __noinline int tell_escape(struct ns_change *change, boot_ns_t time, struct task_struct *task)
{
	struct namespace_escape event = {.change = *change};
	struct namespaces host;

	if (change->error)
		return nothing();
	read_namespaces(&host, BPF_CORE_READ(task, thread_pid, numbers[0].ns, child_reaper));
	__u32 types = differing(&change->old, &change->new) & ~differing(&change->new, &host);

	if (!types || !begin_event(&event.header, namespace_escape_kind, lifecycle_ring, task))
		return nothing();
	event.header.time = time;
	only_types(&event.change, types);
	submit(lifecycle_ring, &event.header, sizeof(event));
	return nothing();
}

static __noinline int tell_setns(struct ns_change *change, struct destination *to, struct task_struct *task)
{
	struct namespace_setns event = {.change = *change, .asked = to->asked, .target = to->target};

	only_types(&event.change, change->types);
	event.asked_types = to->asked_types;
	if (!begin_event(&event.header, namespace_setns_kind, ring_of(change->error), task))
		return nothing();
	event.header.time = to->time;
	submit(ring_of(change->error), &event.header, sizeof(event));
	return nothing();
}

/* Each telling has a frame of its own on the stack, which would else be too small. */
static __noinline int tell_user_namespace(struct ns_change *change, __u64 flags, struct call *call,
					  struct task_struct *task)
{
	return after_user_namespace_call(call, task, flags, change->old.user);
}

/* The escape first: to the reader the process is then still where it was. */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_setns_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct destination to = {.time = bpf_ktime_get_boot_ns()};
	struct ns_change change;
	struct call call;

	if (!read_call(&call, regs, result))
		return 0;
	fill_ns_change(&change, task, &call);
	to.asked_types = call.args[1] & ALL_TYPES;
	__u32 said = find_destination(&to, file_of(task, call.args[0]), call.args[1]);
	__u32 moved = change.error ? 0 : differing(&change.old, &change.new);

	/* Every thread is in some uts namespace: 0 is that nobody knows its old ones, which all differ then. */
	said |= change.old.uts ? moved : 0;
	change.types = said ?: moved;
	int told = tell_escape(&change, to.time, task);

	told |= tell_setns(&change, &to, task);
	return told | tell_user_namespace(&change, said, &call, task);
}

static __noinline int tell_unshare(struct call *call, struct task_struct *task)
{
	struct namespace_unshare event = {};

	fill_ns_change(&event.change, task, call);
	only_types(&event.change, call->args[0] & ALL_TYPES);
	event.flags = call->args[0];
	if (begin_event(&event.header, namespace_unshare_kind, ring_of(error_of(call->result)), task))
		submit(ring_of(error_of(call->result)), &event.header, sizeof(event));
	return tell_user_namespace(&event.change, event.flags, call, task);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_unshare_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call call;

	if (!read_call(&call, regs, result) || !(call.args[0] & ALL_TYPES))
		return 0;
	return tell_unshare(&call, task);
}

static __always_inline __u64 clone_flags(struct call *call)
{
	__u64 flags = 0;

	if (call->number == __NR_clone)
		return (__u32)call->args[0];
	if (call->number == __NR_clone3) /* struct clone_args begins with them */
		bpf_probe_read_user(&flags, sizeof(flags), (void *)call->args[0]);
	return flags;
}

/* What a refused clone() asked for. The lowest byte is its exit signal, of clone3() it is CLONE_NEWTIME. */
static __always_inline __u32 asked_types(__u32 call, __u64 flags)
{
	return flags & ALL_TYPES & ~(call == __NR_clone ? CSIGNAL : 0);
}

static __noinline int tell_refused_clone(struct call *call, struct task_struct *task)
{
	struct namespace_clone event = {};

	event.flags = clone_flags(call);
	__u32 types = asked_types(call->number, event.flags);

	if (!types)
		return nothing();
	read_namespaces(&event.change.old, task);
	int told = after_user_namespace_call(call, task, event.flags, event.change.old.user);

	only_types(&event.change, types);
	event.change.tid = task->pid;
	event.change.error = error_of(call->result);
	event.change.call = call->number;
	if (begin_event(&event.header, namespace_clone_kind, activity_ring, task))
		submit(activity_ring, &event.header, sizeof(event));
	return told | nothing();
}

/* One that succeeded is told by the fork, where both sides are at hand. */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_clone_call, struct pt_regs *regs, long result)
{
	struct call call;

	if (result >= 0 || !read_call(&call, regs, result))
		return 0;
	return tell_refused_clone(&call, bpf_get_current_task_btf());
}

/* In the parent, which is in the middle of the call: its registers still hold what it asked for. */
static __always_inline void fill_asked(struct namespace_clone *event)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	struct call call = {.number = call_number(regs, is_compat())};

	read_args(&call, regs, is_compat());
	event->change.call = call.number;
	event->flags = clone_flags(&call);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_clone, struct task_struct *parent, struct task_struct *child)
{
	struct namespace_clone event = {};

	/* Nearly every fork ends here. */
	if (child->nsproxy == parent->nsproxy && child->cred->user_ns == parent->cred->user_ns)
		return 0;
	read_namespaces(&event.change.old, parent);
	read_namespaces(&event.change.new, child);
	__u32 types = differing(&event.change.old, &event.change.new);

	if (!types)
		return 0;
	fill_asked(&event);
	if (types & CLONE_NEWUSER)
		after_user_namespace_fork(parent, child, event.flags, event.change.call);
	only_types(&event.change, types);
	event.change.tid = parent->pid;
	event.child = child->pid;
	if (begin_event(&event.header, namespace_clone_kind, lifecycle_ring, parent))
		submit(lifecycle_ring, &event.header, sizeof(event));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
