/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * privilege.gained: somebody has capabilities or the effective user id 0 that he did not have before. Whoever sees the
 * end of a call that can do that asks here; both times the comparison is of one thread with itself.
 */
#ifndef PODWITNESS_GAINED_H
#define PODWITNESS_GAINED_H

#include "event.h"

/* By what a process came to have more rights. */
enum gained_by {
	gained_by_setuid = 1,
	gained_by_capset,
	gained_by_exec_setuid,	  /* of a file with the set-user-ID bit */
	gained_by_exec_file_caps, /* of a file with capabilities */
	gained_by_exec_root,	  /* of any file by root, who has all again that he had given up */
	gained_by_user_namespace, /* they count in that one only */
	gained_by_other,
};

SAMPLE(privilege_gained)
{
	struct header header;
	changed_caps_t gained;
	user_id_t old_uid;
	user_id_t new_uid;
	user_id_t old_euid;
	user_id_t new_euid;
	ns_inum_t old_user_ns;
	ns_inum_t new_user_ns;
	tid_t tid;
	call_t call;
	gained_by_t by;
	__u8 pad[7];
};

/* Not on the stack, where callers have events of their own: the verifier of 6.1 counts all frames together. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct privilege_gained);
} gained_scratch SEC(".maps");

static __always_inline cap_t gained_caps(struct rights_change *change)
{
	return (change->new.effective & ~change->old.effective) | (change->new.permitted & ~change->old.permitted);
}

/* privilege.gained, where `task` has capabilities or the effective user id 0 that it did not have before. */
static __always_inline void tell_gained(struct rights_change *change, struct task_struct *task, enum gained_by by,
					call_t call)
{
	__u32 key = 0;
	struct privilege_gained *event = bpf_map_lookup_elem(&gained_scratch, &key);
	cap_t gained = gained_caps(change);

	if (!event || (!gained && (change->new.euid || !change->old.euid)))
		return;
	if (!begin_change(&event->header, privilege_gained_kind, lifecycle_ring, task, change->old.euid))
		return;
	event->gained = gained;
	event->old_uid = change->old.uid;
	event->new_uid = change->new.uid;
	event->old_euid = change->old.euid;
	event->new_euid = change->new.euid;
	event->old_user_ns = change->old.user_ns;
	event->new_user_ns = change->new.user_ns;
	event->tid = task->pid;
	event->call = call;
	event->by = by;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	submit(lifecycle_ring, &event->header, sizeof(*event));
}

#endif
