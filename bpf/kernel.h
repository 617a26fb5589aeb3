/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's types, as far as we read them: names only. CO-RE moves every access to where the running
 * kernel has the member (preserve_access_index), so order, size and neighbours do not matter here, and no
 * header of any kernel version is needed.
 */
#ifndef PODWITNESS_KERNEL_H
#define PODWITNESS_KERNEL_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
#define true 1
#define false 0

enum bpf_map_type {
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
	BPF_RB_PROD_POS = 3,
};

enum {
	BPF_NOEXIST = 1,
};

enum {
	BPF_F_MMAPABLE = 1 << 10,
};

#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};
struct uts_namespace {
	struct ns_common ns;
};
struct ipc_namespace {
	struct ns_common ns;
};
struct mnt_namespace {
	struct ns_common ns;
};
struct net {
	struct ns_common ns;
};
struct time_namespace {
	struct ns_common ns;
};
struct cgroup_namespace {
	struct ns_common ns;
};
struct pid_namespace {
	struct ns_common ns;
};
struct user_namespace {
	struct ns_common ns;
};

struct nsproxy {
	struct uts_namespace *uts_ns;
	struct ipc_namespace *ipc_ns;
	struct mnt_namespace *mnt_ns;
	struct net *net_ns;
	struct time_namespace *time_ns;
	struct cgroup_namespace *cgroup_ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

typedef struct {
	__u32 val;
} kuid_t;
typedef struct {
	__u32 val;
} kgid_t;
typedef struct {
	int counter;
} atomic_t;

/* Two 32-bit words until 6.3 (f122a08b197d), one 64-bit word since: the same eight bytes here. */
typedef struct kernel_cap_struct {
	__u32 cap[2];
} kernel_cap_t;

struct cred {
	kuid_t uid, suid, euid;
	kgid_t gid, sgid, egid;
	kernel_cap_t cap_inheritable, cap_permitted, cap_effective;
	struct user_namespace *user_ns;
};

struct qstr {
	const unsigned char *name;
};
struct inode {
	unsigned int i_nlink;
};
struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};
struct vfsmount {
	struct dentry *mnt_root;
};
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};
struct file {
	struct path f_path;
};
struct fs_struct {
	struct path root, pwd;
};
struct mm_struct {
	struct file *exe_file;
	unsigned long arg_start, arg_end;
};
struct linux_binprm {
	struct file *file;
	int argc;
};

struct tty_driver {
	int major, minor_start;
};
struct tty_struct {
	struct tty_driver *driver;
	int index;
};

enum pid_type { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID };

struct signal_struct {
	atomic_t live;
	unsigned int flags;
	int group_exit_code;
	struct pid *pids[4];
	struct tty_struct *tty;
};

struct kernfs_node {
	struct kernfs_node *parent;
	const char *name;
	__u64 id;
};
/* 6.15 (633488947ef6): parent became RCU-protected and got another name. */
struct kernfs_node___rcu {
	struct kernfs_node *__parent;
};

/* Numbered by the kernel's configuration; CO-RE puts the running kernel's numbers in. */
enum cgroup_subsys_id {
	memory_cgrp_id,
	pids_cgrp_id,
};
struct cgroup {
	struct kernfs_node *kn;
};
struct cgroup_subsys_state {
	struct cgroup *cgroup;
};
struct css_set {
	struct cgroup_subsys_state *subsys[16];
	struct cgroup *dfl_cgrp;
};

struct task_struct {
	unsigned int flags;
	int pid, tgid;
	int exit_code;
	struct task_struct *real_parent, *group_leader;
	struct pid *thread_pid;
	__u64 start_boottime;
	const struct cred *cred;
	char comm[16];
	struct fs_struct *fs;
	struct mm_struct *mm;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	__u32 parent_exec_id;
	__u64 self_exec_id;
	struct css_set *cgroups;
};

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

#define PF_KTHREAD 0x00200000
#define SIGNAL_GROUP_EXIT 0x00000004

#endif
