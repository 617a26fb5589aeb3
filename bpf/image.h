/* SPDX-License-Identifier: GPL-2.0-only */
/* A process image: who it is, whose child, with which rights and in which namespaces. */
#ifndef PODWITNESS_IMAGE_H
#define PODWITNESS_IMAGE_H

#include "path.h"

struct image {
	exec_id_t parent_exec_id;
	boot_ns_t parent_start_time;
	cap_t cap_effective;
	cap_t cap_permitted;
	cap_t cap_inheritable;
	__u32 exec_count; /* execs of this process since its fork */
	tgid_t parent;
	__u32 vpid; /* pid in the process's own pid namespace */
	tgid_t group_leader;
	tgid_t session_leader;
	__u32 uid;
	__u32 euid;
	__u32 suid;
	__u32 gid;
	__u32 egid;
	__u32 sgid;
	ns_inum_t ns_uts;
	ns_inum_t ns_ipc;
	ns_inum_t ns_mnt;
	ns_inum_t ns_pid;
	ns_inum_t ns_net;
	ns_inum_t ns_cgroup;
	ns_inum_t ns_time;
	ns_inum_t ns_user;
	device_number_t tty_major;
	device_number_t tty_minor;
	char comm[16];
	__u32 pad;
};

static __always_inline void fill_ids(struct image *image, struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct task_struct *parent = BPF_CORE_READ(task, real_parent, group_leader);
	struct pid *pid = BPF_CORE_READ(leader, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid *own =
		(void *)pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid);

	image->parent = BPF_CORE_READ(parent, tgid);
	image->parent_start_time = BPF_CORE_READ(parent, start_boottime);
	image->parent_exec_id = BPF_CORE_READ(parent, self_exec_id);
	/* copy_process() sets parent_exec_id to the forking task's self_exec_id, which the child starts from. */
	image->exec_count = (__u32)BPF_CORE_READ(leader, self_exec_id) - BPF_CORE_READ(leader, parent_exec_id);
	image->vpid = BPF_CORE_READ(own, nr);
	image->ns_pid = BPF_CORE_READ(own, ns, ns.inum);
	image->group_leader = BPF_CORE_READ(task, signal, pids[PIDTYPE_PGID], numbers[0].nr);
	image->session_leader = BPF_CORE_READ(task, signal, pids[PIDTYPE_SID], numbers[0].nr);
}

static __always_inline void fill_rights(struct image *image, const struct cred *cred)
{
	image->uid = BPF_CORE_READ(cred, uid.val);
	image->euid = BPF_CORE_READ(cred, euid.val);
	image->suid = BPF_CORE_READ(cred, suid.val);
	image->gid = BPF_CORE_READ(cred, gid.val);
	image->egid = BPF_CORE_READ(cred, egid.val);
	image->sgid = BPF_CORE_READ(cred, sgid.val);
	bpf_core_read(&image->cap_effective, sizeof(cap_t), &cred->cap_effective);
	bpf_core_read(&image->cap_permitted, sizeof(cap_t), &cred->cap_permitted);
	bpf_core_read(&image->cap_inheritable, sizeof(cap_t), &cred->cap_inheritable);
	image->ns_user = BPF_CORE_READ(cred, user_ns, ns.inum);
}

static __always_inline void fill_namespaces(struct image *image, struct nsproxy *nsproxy)
{
	image->ns_uts = BPF_CORE_READ(nsproxy, uts_ns, ns.inum);
	image->ns_ipc = BPF_CORE_READ(nsproxy, ipc_ns, ns.inum);
	image->ns_mnt = BPF_CORE_READ(nsproxy, mnt_ns, ns.inum);
	image->ns_net = BPF_CORE_READ(nsproxy, net_ns, ns.inum);
	image->ns_cgroup = BPF_CORE_READ(nsproxy, cgroup_ns, ns.inum);
	image->ns_time = BPF_CORE_READ(nsproxy, time_ns, ns.inum);
}

static __always_inline void fill_tty(struct image *image, struct task_struct *task)
{
	struct tty_struct *tty = BPF_CORE_READ(task, signal, tty);

	image->tty_major = tty ? BPF_CORE_READ(tty, driver, major) : -1;
	image->tty_minor = tty ? BPF_CORE_READ(tty, driver, minor_start) + BPF_CORE_READ(tty, index) : -1;
}

/* Everything of `image`; the caller hands over zeroed or reused memory, every byte of it is written. */
static __always_inline void fill_image(struct image *image, struct task_struct *task)
{
	fill_ids(image, task);
	fill_rights(image, BPF_CORE_READ(task, cred));
	fill_namespaces(image, BPF_CORE_READ(task, nsproxy));
	fill_tty(image, task);
	image->pad = 0;
	__builtin_memset(image->comm, 0, sizeof(image->comm));
	bpf_core_read_str(image->comm, sizeof(image->comm), &task->comm);
}

#endif
