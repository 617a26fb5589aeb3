/* SPDX-License-Identifier: GPL-2.0-only */
/* Files, their names and their places, as far as we read them. Included by kernel.h, which says what its types are. */
#ifndef PODWITNESS_KERNEL_FILE_H
#define PODWITNESS_KERNEL_FILE_H

struct qstr {
	const unsigned char *name;
};
struct file_system_type {
	const char *name;
};
struct super_block {
	__u32 s_dev;
	struct file_system_type *s_type;
	unsigned long s_flags, s_magic;
};
struct inode {
	void *i_private;
	unsigned short i_mode;
	kuid_t i_uid;
	kgid_t i_gid;
	unsigned int i_nlink;
	unsigned long i_ino;
	long long i_size;
	struct super_block *i_sb;
};
struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};
struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
};
struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
	int mnt_flags;
};
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	const char *mnt_devname;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
};
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};
struct file {
	void *private_data;
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_flags, f_mode;
};
/* 6.5 (def3ae83da02) */
struct backing_file {
	struct path user_path;
};
/* 6.13 (08ef26ea9ab3): references are counted from 0, in a word with another name. */
typedef struct {
	long counter;
} atomic_long_t;
typedef struct {
	atomic_long_t refcnt;
} file_ref_t;
struct file___counted {
	atomic_long_t f_count;
};
struct file___referenced {
	file_ref_t f_ref;
};
struct vm_area_struct {
	unsigned long vm_flags;
	struct file *vm_file;
	void *anon_vma;
};
struct io_cqe {
	int res;
};
struct filename {
	const char *uptr; /* as the caller gave it */
};
struct open_flags {
	int open_flag;
};
struct open_how {
	__u64 flags;
};
/* io_uring/openclose.c; file_slot is a descriptor of the ring's own, plus one */
struct io_open {
	__u32 file_slot;
	struct open_how how;
};
/* io_uring/sync.c */
struct io_sync {
	int mode;
};
struct io_kiocb {
	struct file *file;
	__u8 opcode;
	struct io_cqe cqe;
};
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *open_fds;
};
struct files_struct {
	struct fdtable *fdt;
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
	int argc, execfd;
	unsigned int per_clear;
	unsigned int execfd_creds : 1;
};

#endif
