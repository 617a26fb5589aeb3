/* SPDX-License-Identifier: GPL-2.0-only */
/* What is remarkable about the file of a program that begins: whose rights it gives, and that nobody can find it. */
#ifndef PODWITNESS_MARKS_H
#define PODWITNESS_MARKS_H

#include "file.h"

#define S_ISUID 04000
#define S_ISGID 02000
#define S_IXGRP 010
#define MNT_NOSUID 1
#define SECURE_NOROOT 1
#define MAP_EXTENTS 5 /* UID_GID_MAP_MAX_BASE_EXTENTS: more of them lie elsewhere */

struct marks {
	flag_t setuid;
	flag_t setgid;
	flag_t file_capabilities;
	flag_t memfd;
	flag_t deleted;
};

/*
 * The file that gives the rights: the program's, or with binfmt_misc's flag C the one that was asked for, which the
 * kernel has put under a descriptor by now (begin_new_exec()).
 */
static __always_inline struct file *file_of_rights(struct linux_binprm *bprm, struct task_struct *task)
{
	struct file *asked = NULL;

	if (BPF_CORE_READ_BITFIELD_PROBED(bprm, execfd_creds))
		asked = file_of(task, BPF_CORE_READ(bprm, execfd));
	return asked ?: BPF_CORE_READ(bprm, file);
}

/*
 * The bits count where the kernel obeyed them: not on a nosuid mount, not with no_new_privs, not for owners outside the
 * user namespace (bprm_fill_uid() leaves per_clear alone then), not under a tracer that may not have them (the ids are
 * taken back). The second way to have an owner's id is an idmapped mount, where the file has another.
 */
static __always_inline void mark_ids(struct marks *marks, struct file *file, struct linux_binprm *bprm,
				     const struct cred *cred)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	__u32 mode = BPF_CORE_READ(inode, i_mode);
	__u32 uid = BPF_CORE_READ(cred, uid.val), euid = BPF_CORE_READ(cred, euid.val);
	__u32 gid = BPF_CORE_READ(cred, gid.val), egid = BPF_CORE_READ(cred, egid.val);
	bool obeyed = BPF_CORE_READ(bprm, per_clear) && !(BPF_CORE_READ(file, f_path.mnt, mnt_flags) & MNT_NOSUID);

	marks->setuid = obeyed && mode & S_ISUID && (euid == BPF_CORE_READ(inode, i_uid.val) || euid != uid);
	marks->setgid =
		obeyed && mode & S_ISGID && mode & S_IXGRP && (egid == BPF_CORE_READ(inode, i_gid.val) || egid != gid);
}

/* Who is root in a user namespace, -1: nobody. */
static __always_inline __u32 root_of(struct user_namespace *ns)
{
	struct uid_gid_extent extent = {.lower_first = -1};
	struct uid_gid_extent *extents = &ns->uid_map.extent[0];
	__u32 count = BPF_CORE_READ(ns, uid_map.nr_extents);

	if (count > MAP_EXTENTS) { /* sorted, so root is in the first if in any */
		extents = BPF_CORE_READ(ns, uid_map.forward);
		count = 1;
	}
	for (__u32 i = 0; i < MAP_EXTENTS && i < count; i++) {
		bpf_core_read(&extent, sizeof(extent), &extents[i]);
		if (extent.first == 0)
			return extent.lower_first;
	}
	return -1;
}

/*
 * Capabilities of who is not root are its ambient ones, or the file gave them (cap_bprm_creds_from_file()). Root has
 * them all anyway: what the file gives cannot be told from that, and a program cannot read security.capability.
 */
static __always_inline bool has_file_capabilities(const struct cred *cred)
{
	__u32 uid = BPF_CORE_READ(cred, uid.val), euid = BPF_CORE_READ(cred, euid.val);
	__u32 root = root_of(BPF_CORE_READ(cred, user_ns));
	__u64 permitted = 0, ambient = 0;

	if (!(BPF_CORE_READ(cred, securebits) & SECURE_NOROOT) && (uid == root || euid == root))
		return false;
	bpf_core_read(&permitted, sizeof(permitted), &cred->cap_permitted);
	bpf_core_read(&ambient, sizeof(ambient), &cred->cap_ambient);
	return permitted & ~ambient;
}

/* A file that never had a directory is its own parent; of those only a memfd is called so. */
static __always_inline void mark_name(struct marks *marks, struct file *file)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	bool orphan = BPF_CORE_READ(dentry, d_parent) == dentry;
	union {
		char text[8];
		__u64 number;
	} name = {}, wanted = {"memfd:"};

	bpf_probe_read_kernel_str(name.text, sizeof("memfd:"), BPF_CORE_READ(dentry, d_name.name));
	marks->memfd = orphan && name.number == wanted.number;
	marks->deleted = !marks->memfd &&
			 (!BPF_CORE_READ(file, f_inode, i_nlink) || (!orphan && !BPF_CORE_READ(dentry, d_hash.pprev)));
}

static __always_inline void fill_marks(struct marks *marks, struct linux_binprm *bprm, struct task_struct *task)
{
	const struct cred *cred = BPF_CORE_READ(task, cred);

	mark_ids(marks, file_of_rights(bprm, task), bprm, cred);
	marks->file_capabilities = has_file_capabilities(cred);
	mark_name(marks, BPF_CORE_READ(bprm, file));
}

#endif
