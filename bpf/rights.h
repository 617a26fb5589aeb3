/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a thread may do: its ids and capabilities, and what they were before a call changed them.
 *
 * At the end of a call task->cred is the new one already. So what each thread had when it was last looked at is kept
 * with the thread: from the snapshot or its fork on, brought up to date by each exec and each call that changes it.
 * That takes tracepoints only, which every kernel has; commit_creds() itself could be seen by a trampoline alone.
 */
#ifndef PODWITNESS_RIGHTS_H
#define PODWITNESS_RIGHTS_H

#include "event.h"

struct rights {
	known_caps_t effective;
	known_caps_t permitted;
	known_caps_t inheritable;
	user_id_t uid;
	user_id_t euid;
	user_id_t suid;
	user_id_t fsuid;
	group_id_t gid;
	group_id_t egid;
	group_id_t sgid;
	group_id_t fsgid;
	other_ns_t user_ns;
	group_count_t groups; /* supplementary ones */
};

struct rights_change {
	struct rights old; /* -1 where nobody knows, and no user namespace */
	struct rights new;
};

/* As they were when last looked at. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __s32);
	__type(value, struct rights);
} last_rights SEC(".maps");

static __always_inline bool are_rights_wanted(void)
{
	return is_wanted(privilege_setuid_kind) || is_wanted(privilege_setgid_kind) ||
	       is_wanted(privilege_capset_kind) || is_wanted(privilege_gained_kind) ||
	       is_wanted(privilege_user_namespace_kind);
}

static __always_inline void fill_new_rights(struct rights *rights, struct task_struct *task)
{
	const struct cred *cred = task->cred;

	bpf_core_read(&rights->effective, sizeof(cap_t), &cred->cap_effective);
	bpf_core_read(&rights->permitted, sizeof(cap_t), &cred->cap_permitted);
	bpf_core_read(&rights->inheritable, sizeof(cap_t), &cred->cap_inheritable);
	rights->uid = BPF_CORE_READ(cred, uid.val);
	rights->euid = BPF_CORE_READ(cred, euid.val);
	rights->suid = BPF_CORE_READ(cred, suid.val);
	rights->fsuid = BPF_CORE_READ(cred, fsuid.val);
	rights->gid = BPF_CORE_READ(cred, gid.val);
	rights->egid = BPF_CORE_READ(cred, egid.val);
	rights->sgid = BPF_CORE_READ(cred, sgid.val);
	rights->fsgid = BPF_CORE_READ(cred, fsgid.val);
	rights->user_ns = BPF_CORE_READ(cred, user_ns, ns.inum);
	rights->groups = BPF_CORE_READ(cred, group_info, ngroups);
}

/* Begin to know a thread; without effect where it is known. `task` is one that the verifier knows. */
static __always_inline void learn_rights(struct task_struct *task)
{
	struct rights now = {};

	fill_new_rights(&now, task);
	bpf_task_storage_get(&last_rights, task, &now, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/*
 * What of the rights of `task` is new; they are the known ones from now on. False where nobody knows the old ones.
 * To be called at the end of each call that can change them, whoever is told of it.
 */
static __always_inline bool compare_rights(struct rights_change *change, struct task_struct *task)
{
	struct rights *last = bpf_task_storage_get(&last_rights, task, NULL, 0);

	fill_new_rights(&change->new, task);
	if (last) {
		change->old = *last;
		*last = change->new;
		return true;
	}
	__builtin_memset(&change->old, 0xff, sizeof(change->old));
	change->old.user_ns = 0;
	bpf_task_storage_get(&last_rights, task, &change->new, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return false;
}

/* One that changes nothing anybody can make without end, as a call that is refused: see ring_of(). */
static __always_inline enum ring ring_of_change(struct rights_change *change)
{
	const __u64 *old = (void *)&change->old, *new = (void *)&change->new;
	__u64 differ = 0;

	for (int at = 0; at < sizeof(struct rights) / sizeof(__u64); at++)
		differ |= old[at] ^ new[at];
	return differ ? lifecycle_ring : activity_ring;
}

#endif
