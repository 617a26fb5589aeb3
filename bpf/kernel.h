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
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum {
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
	BPF_RB_AVAIL_DATA = 0,
	BPF_RB_RING_SIZE = 1,
	BPF_RB_PROD_POS = 3,
};

enum {
	BPF_NOEXIST = 1,
};

enum {
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
};

enum {
	BPF_F_NO_PREALLOC = 1 << 0,
	BPF_F_MMAPABLE = 1 << 10,
};

#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>
#define __VMLINUX_H__ /* bpf_tracing.h takes registers by the names that struct pt_regs has here */
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	__u32 val;
} kuid_t;
typedef struct {
	__u32 val;
} kgid_t;

struct proc_ns_operations {
	int type;
};
struct ns_common {
	unsigned int inum;
	struct proc_ns_operations *ops;
};
/* 6.18: the type is the namespace's own. */
struct ns_common___typed {
	__u32 ns_type;
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
struct hlist_node {
	struct hlist_node *next;
};
struct hlist_head {
	struct hlist_node *first;
};
struct net {
	struct ns_common ns;
	struct hlist_head *dev_index_head;
};
struct time_namespace {
	struct ns_common ns;
};
struct cgroup_namespace {
	struct ns_common ns;
};
struct xarray {
	void *xa_head;
};
struct xa_node {
	unsigned char shift;
	void *slots[64];
};
struct idr {
	struct xarray idr_rt;
};
struct pid_namespace {
	struct ns_common ns;
	struct task_struct *child_reaper;
	struct idr idr;
};
struct uid_gid_extent {
	__u32 first, lower_first, count;
};
struct uid_gid_map {
	__u32 nr_extents;
	struct uid_gid_extent extent[5];
	struct uid_gid_extent *forward;
};
struct user_namespace {
	struct uid_gid_map uid_map, gid_map;
	struct ns_common ns;
};

struct nsproxy {
	struct pid_namespace *pid_ns_for_children;
	struct time_namespace *time_ns_for_children;
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
	struct hlist_head tasks[4];
	struct upid numbers[1];
};

typedef struct {
	int counter;
} atomic_t;

/* Two 32-bit words until 6.3 (f122a08b197d), one 64-bit word since: the same eight bytes here. */
typedef struct kernel_cap_struct {
	__u32 cap[2];
} kernel_cap_t;

struct group_info {
	int ngroups;
};

struct cred {
	kuid_t uid, suid, euid, fsuid;
	kgid_t gid, sgid, egid, fsgid;
	unsigned int securebits;
	kernel_cap_t cap_inheritable, cap_permitted, cap_effective, cap_ambient;
	struct user_namespace *user_ns;
	struct group_info *group_info;
};

#include "kernel_file.h"

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

struct kernel_siginfo {
	int si_code;
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

struct thread_info {
	__u32 status;
};
struct task_struct {
	struct thread_info thread_info;
	struct files_struct *files;
	unsigned int flags;
	int pid, tgid;
	int exit_code;
	struct task_struct *real_parent, *group_leader;
	struct pid *thread_pid;
	struct hlist_node pid_links[4];
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

/* Registers of user mode, x86-64. */
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

#include "kernel_object.h"

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#include "kernel_socket.h"

#pragma clang attribute pop

#define PF_IO_WORKER 0x00000010
#define PF_KTHREAD 0x00200000
#define SIGNAL_GROUP_EXIT 0x00000004

/*
 * What a static function returns that has nothing to return. clang 14 takes a constant result, and one that nobody
 * looks at, out of the code; then the address of the stack may be left in its place, which the verifier refuses.
 */
static __always_inline int nothing(void)
{
	int zero = 0;

	barrier_var(zero);
	return zero;
}

#endif
