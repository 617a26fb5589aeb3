/* SPDX-License-Identifier: GPL-2.0-only */
/* How an event begins: who did it, and whether it is to be told. */
#ifndef PODWITNESS_EVENT_H
#define PODWITNESS_EVENT_H

#include "filter.h"
#include "ring.h"

/* Which cgroup tree names the containers; ids of different trees collide, so it is one for all. */
enum hierarchy { v2_hierarchy, pids_hierarchy, memory_hierarchy };

/* Set before load, as the constants in ring.h. */
const volatile enum hierarchy hierarchy = v2_hierarchy;

static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *node)
{
	struct kernfs_node___rcu *renamed = (void *)node;

	if (bpf_core_field_exists(renamed->__parent))
		return BPF_CORE_READ(renamed, __parent);
	return BPF_CORE_READ(node, parent);
}

static __always_inline struct kernfs_node *cgroup_node(struct task_struct *task)
{
	struct css_set *set = task->cgroups;
	struct cgroup_subsys_state *state = NULL;

	if (hierarchy == v2_hierarchy)
		return set->dfl_cgrp->kn;
	if (hierarchy == pids_hierarchy)
		bpf_core_read(&state, sizeof(state),
			      &set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id)]);
	else
		bpf_core_read(&state, sizeof(state),
			      &set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)]);
	return BPF_CORE_READ(state, cgroup, kn);
}

/* `task` is one that the verifier knows, here and in `is_own`: then a member costs a load, not a call. */
static __always_inline void fill_header(struct header *header, enum kind kind, struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;

	header->kind = kind;
	header->pid = task->tgid;
	header->time = bpf_ktime_get_boot_ns();
	header->start_time = leader->start_boottime;
	header->exec_id = leader->self_exec_id;
	header->cgroup = BPF_CORE_READ(cgroup_node(task), id);
	header->sequence = 0;
}

/* How far up a child of the agent is looked for: it starts few, and they start few. */
#define OWN_ANCESTORS 4

/* The agent's own doings are not observed: telling of them would make more of them. */
static __always_inline bool is_own(struct task_struct *task)
{
	struct reader *state = reader_state();

	if (!state || !state->agent_tgid)
		return false;
	if (state->agent_cgroup && state->agent_cgroup == BPF_CORE_READ(cgroup_node(task), id))
		return true;
	for (int i = 0; i < OWN_ANCESTORS; i++) {
		__u32 tgid = task->tgid;

		if (tgid == state->agent_tgid && task->group_leader->start_boottime == state->agent_start)
			return true;
		if (tgid <= 1)
			return false;
		task = task->real_parent;
	}
	return false;
}

/* What the rules say of a cgroup: the nearest one that is named, itself or above it, decides. */
static __always_inline bool is_cgroup_left_out(struct task_struct *task)
{
	struct kernfs_node *node = cgroup_node(task);
	__u8 *verdict = NULL;

	for (int i = 0; i < CGROUP_LEVELS && node && !verdict; i++) {
		__u64 id = BPF_CORE_READ(node, id);

		verdict = bpf_map_lookup_elem(&cgroup_rules, &id);
		node = kernfs_parent(node);
	}
	return is_left_out(&cgroup_filter, verdict);
}

static __always_inline struct image_key image_key_of(struct header *header)
{
	return (struct image_key){.start_time = header->start_time, .exec_id = header->exec_id, .pid = header->pid};
}

/* A child runs the program of its parent until it execs. */
static __always_inline void judge_fork(struct header *child, struct task_struct *parent)
{
	struct header of_parent = {};
	struct image_key key = image_key_of(child);

	if (!binary_filter.some)
		return;
	fill_header(&of_parent, child->kind, parent);
	struct image_key above = image_key_of(&of_parent);
	__u8 *verdict = bpf_map_lookup_elem(&image_rules, &above);

	if (verdict)
		bpf_map_update_elem(&image_rules, &key, verdict, 0);
}

static __always_inline bool is_image_left_out(struct header *header)
{
	struct image_key key = image_key_of(header);

	return binary_filter.some && bpf_map_lookup_elem(&image_rules, &key);
}

#define NO_USER ((__u32)-1)

/* Who has just become somebody else (`former`, or NO_USER) is both of them. */
static __always_inline bool are_users_left_out(struct task_struct *task, __u32 former)
{
	return is_user_left_out(task->cred->euid.val) && (former == NO_USER || is_user_left_out(former));
}

/*
 * Whether what the current task does is the agent's own, or left out by the rules. Not static: so the verifier looks at
 * its loops once for each program, not at each place and on each way that leads there.
 */
__noinline int is_current_left_out(__u32 former)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return is_own(task) || are_users_left_out(task, former) || (cgroup_filter.some && is_cgroup_left_out(task));
}

/* Whether anything that the current task does is to be known, with the header of `task`, which is it or its child. */
static __always_inline bool is_change_observed(struct header *header, enum kind kind, struct task_struct *task,
					       __u32 former)
{
	if (is_current_left_out(former))
		return false;
	fill_header(header, kind, task);
	return !is_image_left_out(header);
}

static __always_inline bool is_observed(struct header *header, enum kind kind, struct task_struct *task)
{
	return is_change_observed(header, kind, task, NO_USER);
}

/*
 * How the program of every kind but exec, fork and exit begins: whether the event is to be told, with its header filled
 * in if so. `task` is who does it.
 */
static __always_inline bool begin_event(struct header *header, enum kind kind, enum ring ring, struct task_struct *task)
{
	return is_wanted(kind) && is_observed(header, kind, task) && !is_unread(ring, header);
}

/* The same where the task's effective user id was `former` until now, which the rules may take in as well. */
static __always_inline bool begin_change(struct header *header, enum kind kind, enum ring ring,
					 struct task_struct *task, __u32 former)
{
	return is_wanted(kind) && is_change_observed(header, kind, task, former) && !is_unread(ring, header);
}

#include "rights.h"

#endif
