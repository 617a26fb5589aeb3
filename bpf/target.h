/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Another process, to which something is done: who it is, and how it is found by the number that a call was given.
 *
 * Numbers count in the caller's pid namespace. They are looked up where the kernel itself looks: in the namespace's
 * radix tree, walked here by plain reads, since the kernel's own function (bpf_task_from_vpid) came with 6.12 only.
 * The walk is at the end of the call: who has gone by then is not found.
 */
#ifndef PODWITNESS_TARGET_H
#define PODWITNESS_TARGET_H

#include "event.h"

#define RADIX_LEVELS 6 /* of 6 bits each: more than a pid has */
#define RADIX_SLOTS 64
#define RADIX_KIND 3 /* the low bits of an entry; for a further level of the tree they are RADIX_NODE */
#define RADIX_NODE 2

/* All 0 where there is nobody. */
struct target {
	boot_ns_t start_time;
	exec_id_t exec_id;
	cgroup_id_t cgroup;
	other_tgid_t pid;
	__u32 pad;
	char comm[16];
};

/* `task` is any pointer, here and below: read by the kernel's own helper, not trusted. */
static __always_inline struct pid_namespace *pid_namespace_of(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	struct upid *own = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
			   BPF_CORE_READ(pid, level) * bpf_core_type_size(struct upid);

	return BPF_CORE_READ(own, ns);
}

/* As cgroup_node() of event.h, for a task that the verifier does not know. */
static __always_inline cgroup_id_t cgroup_of(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state *state = NULL;

	if (hierarchy == v2_hierarchy)
		return BPF_CORE_READ(set, dfl_cgrp, kn, id);
	if (hierarchy == pids_hierarchy)
		bpf_core_read(&state, sizeof(state),
			      &set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id)]);
	else
		bpf_core_read(&state, sizeof(state),
			      &set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)]);
	return BPF_CORE_READ(state, cgroup, kn, id);
}

/* The kernel's struct pid of a number in a pid namespace; NULL where there is none. */
static __always_inline struct pid *find_pid(struct pid_namespace *namespace, __u32 number)
{
	void *entry = BPF_CORE_READ(namespace, idr.idr_rt.xa_head);

	for (int i = 0; i < RADIX_LEVELS; i++) {
		if (((__u64)entry & RADIX_KIND) != RADIX_NODE)
			break;
		struct xa_node *node = entry - RADIX_NODE;
		__u32 slot = number >> (BPF_CORE_READ(node, shift) & 31);

		if (i == 0 && slot >= RADIX_SLOTS)
			return NULL; /* more than the tree holds now */
		void *at = (void *)node + bpf_core_field_offset(struct xa_node, slots) +
			   (slot & (RADIX_SLOTS - 1)) * sizeof(void *);

		if (bpf_probe_read_kernel(&entry, sizeof(entry), at))
			return NULL;
	}
	return (__u64)entry & RADIX_KIND ? NULL : entry;
}

/* The thread that `caller` calls by this number; NULL where there is none. */
static __always_inline struct task_struct *find_task(struct task_struct *caller, __u32 number)
{
	struct pid *pid = find_pid(pid_namespace_of(caller), number);
	struct hlist_node *first = NULL;

	if (!pid)
		return NULL;
	bpf_probe_read_kernel(&first, sizeof(first), (void *)pid + bpf_core_field_offset(struct pid, tasks));
	return first ? (void *)first - bpf_core_field_offset(struct task_struct, pid_links) : NULL;
}

static __always_inline void fill_target(struct target *target, struct task_struct *task)
{
	struct task_struct *leader = task ? BPF_CORE_READ(task, group_leader) : NULL;

	__builtin_memset(target, 0, sizeof(*target));
	if (!leader)
		return;
	target->start_time = BPF_CORE_READ(leader, start_boottime);
	target->exec_id = BPF_CORE_READ(leader, self_exec_id);
	target->cgroup = cgroup_of(task);
	target->pid = BPF_CORE_READ(leader, tgid);
	bpf_core_read_str(target->comm, sizeof(target->comm), &leader->comm);
}

#endif
