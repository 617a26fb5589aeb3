/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * privilege.user_namespace: a user namespace is made or entered; there one can have all capabilities. For the object
 * that sees clone(), clone3(), unshare() and setns().
 */
#ifndef PODWITNESS_USER_NAMESPACE_H
#define PODWITNESS_USER_NAMESPACE_H

#include "call.h"
#include "gained.h"
#include "target.h"

SAMPLE(privilege_user_namespace)
{
	struct header header;
	struct rights new;
	struct target target; /* clone() puts its child there; else nobody */
	clone_flags_t flags;
	other_ns_t old_ns;
	other_ns_t new_ns; /* where the child is, or the caller itself; 0: the call was refused */
	tid_t tid;
	errno_t error;
	call_t call;
	__u32 pad;
};

/* Not on the stack, where the caller has its own event. */
struct user_namespace_scratch {
	struct privilege_user_namespace event;
	struct rights_change change;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct user_namespace_scratch);
} user_namespace_scratch SEC(".maps");

static __always_inline bool begin_user_namespace(struct privilege_user_namespace *event, struct task_struct *task,
						 errno_t error)
{
	__builtin_memset(event, 0, sizeof(*event));
	if (!begin_event(&event->header, privilege_user_namespace_kind, ring_of(error), task))
		return false;
	fill_new_rights(&event->new, task);
	event->tid = task->pid;
	return true;
}

/*
 * At the end of unshare() and setns(), and of a clone() that was refused. `flags` are what was asked for, `old_ns` the
 * namespace that the caller was in; 0: not known. setns() by a descriptor need not say what it is for (0): then it is
 * told where the caller is in another afterwards.
 */
static __noinline int after_user_namespace_call(struct call *call, struct task_struct *task, __u64 flags, __u32 old_ns)
{
	__u32 key = 0, now = task->cred->user_ns->ns.inum;
	struct user_namespace_scratch *scratch = bpf_map_lookup_elem(&user_namespace_scratch, &key);
	errno_t error = error_of(call->result);

	if (!scratch)
		return nothing();
	bool known = compare_rights(&scratch->change, task);

	old_ns = old_ns ?: scratch->change.old.user_ns;
	if (!(flags & CLONE_NEWUSER) && (!old_ns || now == old_ns))
		return nothing();
	if (begin_user_namespace(&scratch->event, task, error)) {
		scratch->event.flags = flags;
		scratch->event.error = error;
		scratch->event.old_ns = old_ns;
		scratch->event.new_ns = error ? 0 : now;
		scratch->event.call = call->number;
		submit(ring_of(error), &scratch->event.header, sizeof(scratch->event));
	}
	if (known)
		tell_gained(&scratch->change, task, gained_by_user_namespace, call->number);
	return nothing();
}

/* At the fork of a child that is in another user namespace than its parent. */
static __always_inline void after_user_namespace_fork(struct task_struct *parent, struct task_struct *child,
						      __u64 flags, call_t call)
{
	__u32 key = 0;
	struct user_namespace_scratch *scratch = bpf_map_lookup_elem(&user_namespace_scratch, &key);

	if (!scratch || !begin_user_namespace(&scratch->event, parent, 0))
		return;
	fill_target(&scratch->event.target, child);
	scratch->event.flags = flags;
	scratch->event.old_ns = parent->cred->user_ns->ns.inum;
	scratch->event.new_ns = child->cred->user_ns->ns.inum;
	scratch->event.call = call;
	submit(lifecycle_ring, &scratch->event.header, sizeof(scratch->event));
}

#endif
