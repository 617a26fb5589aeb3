/* SPDX-License-Identifier: GPL-2.0-only */
/* The namespaces of a thread, by type, as inode numbers: two sets of them make a change. */
#ifndef PODWITNESS_NAMESPACES_H
#define PODWITNESS_NAMESPACES_H

#include "event.h"

#define CLONE_NEWTIME 0x80
#define CLONE_NEWNS 0x20000
#define CLONE_NEWCGROUP 0x2000000
#define CLONE_NEWUTS 0x4000000
#define CLONE_NEWIPC 0x8000000
#define CLONE_NEWUSER 0x10000000
#define CLONE_NEWPID 0x20000000
#define CLONE_NEWNET 0x40000000
#define ALL_TYPES                                                                                                      \
	(CLONE_NEWTIME | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
	 CLONE_NEWNET)
#define CSIGNAL 0xff /* of the flags of clone(): the exit signal */

/* The pid and the time namespace are those of the thread's children: its own pid namespace never changes. */
struct namespaces {
	other_ns_t uts;
	other_ns_t ipc;
	other_ns_t mnt;
	other_ns_t pid;
	other_ns_t net;
	other_ns_t cgroup;
	other_ns_t time;
	other_ns_t user;
};

/* Of `old` and `new` those of `types`, the others 0; of a call that failed nothing is new. */
struct ns_change {
	struct namespaces old;
	struct namespaces new;
	namespace_types_t types;
	tid_t tid;
	errno_t error;
	call_t call;
};

static __always_inline void read_namespaces(struct namespaces *found, struct task_struct *task)
{
	struct nsproxy *nsproxy = BPF_CORE_READ(task, nsproxy);

	found->uts = BPF_CORE_READ(nsproxy, uts_ns, ns.inum);
	found->ipc = BPF_CORE_READ(nsproxy, ipc_ns, ns.inum);
	found->mnt = BPF_CORE_READ(nsproxy, mnt_ns, ns.inum);
	found->pid = BPF_CORE_READ(nsproxy, pid_ns_for_children, ns.inum);
	found->net = BPF_CORE_READ(nsproxy, net_ns, ns.inum);
	found->cgroup = BPF_CORE_READ(nsproxy, cgroup_ns, ns.inum);
	found->time = BPF_CORE_READ(nsproxy, time_ns_for_children, ns.inum);
	found->user = BPF_CORE_READ(task, cred, user_ns, ns.inum);
}

/* `type` where two numbers differ. Without a branch, here and below: eight of them are 256 ways for the verifier. */
static __always_inline __u32 if_differing(__u32 one, __u32 other, __u32 type)
{
	__u64 difference = one ^ other;

	barrier_var(difference);
	return (-difference >> 63) * type;
}

/* The types in which two sets differ. */
static __always_inline __u32 differing(struct namespaces *one, struct namespaces *other)
{
	return if_differing(one->uts, other->uts, CLONE_NEWUTS) | if_differing(one->ipc, other->ipc, CLONE_NEWIPC) |
	       if_differing(one->mnt, other->mnt, CLONE_NEWNS) | if_differing(one->pid, other->pid, CLONE_NEWPID) |
	       if_differing(one->net, other->net, CLONE_NEWNET) |
	       if_differing(one->cgroup, other->cgroup, CLONE_NEWCGROUP) |
	       if_differing(one->time, other->time, CLONE_NEWTIME) |
	       if_differing(one->user, other->user, CLONE_NEWUSER);
}

static __always_inline __u32 if_among(__u32 types, __u32 type, __u32 number)
{
	__u64 among = types & type;

	barrier_var(among);
	return number & -(-among >> 63);
}

static __always_inline void keep_types(struct namespaces *set, __u32 types)
{
	set->uts = if_among(types, CLONE_NEWUTS, set->uts);
	set->ipc = if_among(types, CLONE_NEWIPC, set->ipc);
	set->mnt = if_among(types, CLONE_NEWNS, set->mnt);
	set->pid = if_among(types, CLONE_NEWPID, set->pid);
	set->net = if_among(types, CLONE_NEWNET, set->net);
	set->cgroup = if_among(types, CLONE_NEWCGROUP, set->cgroup);
	set->time = if_among(types, CLONE_NEWTIME, set->time);
	set->user = if_among(types, CLONE_NEWUSER, set->user);
}

static __always_inline void only_types(struct ns_change *change, __u32 types)
{
	change->types = types;
	keep_types(&change->old, types);
	keep_types(&change->new, types);
}

#endif
