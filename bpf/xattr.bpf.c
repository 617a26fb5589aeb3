// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extended attributes of files, access control lists among them: file.xattr.
 *
 * The kernel's functions for them have a dentry and no mount. A call by path asks the mount for write access right
 * before (mnt_want_write), so the mount is taken there; a call by descriptor is told from its file. Overlay calls
 * itself for the file below: its mounts of those are nobody's, and not taken.
 */
#define TEXT_BYTES 12800 /* a path as asked for, behind its directory, a name, and room for what is cut off */
#include "change.h"

#define ERRORS -4095UL /* pointers from here on are errors: include/linux/err.h */
#ifndef __NR_setxattrat
#define __NR_setxattrat 463
#define __NR_removexattrat 466
#endif

enum { set_operation = 1, remove_operation };

SAMPLE(file_xattr)
{
	struct header header;
	struct file_change change;
	xattr_flags_t flags;
	str_len_t name;
	cut_t name_cut;
	xattr_operation_t operation;
	__u8 pad[6];
};

/* Where a thread is about to write, by owner_of(). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} mounts SEC(".maps");

/* By its path; with setxattrat() and removexattrat() a descriptor can be the file itself too. */
static __always_inline bool is_by_path(__u32 number)
{
	switch (number) {
	case __NR_setxattr:
	case __NR_lsetxattr:
	case __NR_removexattr:
	case __NR_lremovexattr:
	case __NR_setxattrat:
	case __NR_removexattrat:
		return true;
	default:
		return false;
	}
}

static __always_inline void note_mount(struct vfsmount *vfsmount, bool of_file)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (!is_wanted(file_xattr_kind) || task->flags & PF_KTHREAD)
		return;
	if (!is_io_uring(task) && (of_file || !is_by_path(current_call(task))))
		return;
	struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	__u64 owner = owner_of(task), value = (__u64)vfsmount;

	if ((__u64)BPF_CORE_READ(mount, mnt_ns) < ERRORS) /* not MNT_NS_INTERNAL */
		bpf_map_update_elem(&mounts, &owner, &value, 0);
}

NOTING(want_write, mnt_want_write, note_mount(mount, false), struct vfsmount *mount)
NOTING(want_write_file, mnt_want_write_file, note_mount(BPF_CORE_READ(file, f_path.mnt), true), struct file *file)

/* The mount that the thread is about to change `name` in, once; NULL where that is not known. */
static __always_inline struct vfsmount *take_mount(struct task_struct *task, struct dentry *name)
{
	__u64 owner = owner_of(task);
	__u64 *value = bpf_map_lookup_elem(&mounts, &owner);

	if (!value)
		return NULL;
	struct vfsmount *mount = (void *)*value;

	bpf_map_delete_elem(&mounts, &owner);
	return BPF_CORE_READ(mount, mnt_sb) == BPF_CORE_READ(name, d_sb) ? mount : NULL;
}

static __always_inline void note_xattr(struct dentry *dentry, const char *name, __u32 flags, __u8 operation)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct vfsmount *mount = is_wanted(file_xattr_kind) ? take_mount(task, dentry) : NULL;
	struct note *note = mount ? begin_note(task, file_xattr_kind) : NULL;

	if (!note)
		return;
	struct file_xattr *event = STRUCT_OF(&note->text, file_xattr);

	note_change(note, &event->change, mount, dentry, BPF_CORE_READ(dentry, d_inode));
	event->name = write_string(&note->text, name, false, &event->name_cut);
	event->flags = flags;
	event->operation = operation;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	end_note(note, file_xattr_kind, &event->header, &event->change, sizeof(*event), task);
}

BY_TRAMPOLINE(set_xattr, vfs_setxattr, note_xattr(dentry, name, flags, set_operation), void *map, struct dentry *dentry,
	      const char *name, const void *value, unsigned long size, __u32 flags)
BY_KPROBE(set_xattr, vfs_setxattr, note_xattr(dentry, name, 0, set_operation), void *map, struct dentry *dentry,
	  const char *name)
NOTING(remove_xattr, vfs_removexattr, note_xattr(dentry, name, 0, remove_operation), void *map, struct dentry *dentry,
       const char *name)
/* 6.2: access control lists have functions of their own. */
NOTING(set_acl, vfs_set_acl, note_xattr(dentry, name, 0, set_operation), void *map, struct dentry *dentry,
       const char *name)
NOTING(remove_acl, vfs_remove_acl, note_xattr(dentry, name, 0, remove_operation), void *map, struct dentry *dentry,
       const char *name)

static __always_inline bool is_removed(__u32 number)
{
	return number == __NR_removexattr || number == __NR_lremovexattr || number == __NR_fremovexattr ||
	       number == __NR_removexattrat;
}

static __always_inline bool is_at(__u32 number)
{
	return number == __NR_setxattrat || number == __NR_removexattrat;
}

static __always_inline void ask_xattr(struct note *note, struct file_xattr *event, struct call *call,
				      struct task_struct *task)
{
	bool at = is_at(call->number);

	__builtin_memset(event->pad, 0, sizeof(event->pad));
	if (at)
		ask_path_or_file(note, &event->change, call->args, call->args[2], task);
	else if (is_by_path(call->number))
		ask_path(note, &event->change, (void *)call->args[0], AT_FDCWD);
	else if (!ask_file(note, &event->change, call->args[0], task))
		ask_nothing(note, &event->change);
	event->name = write_string(&note->text, (void *)call->args[at ? 3 : 1], true, &event->name_cut);
	event->operation = is_removed(call->number) ? remove_operation : set_operation;
}

static __always_inline void finish_xattr(struct file_xattr *event, struct call *call, bool known)
{
	__u64 owner = owner_of(bpf_get_current_task_btf());
	__u32 flags = 0;

	bpf_map_delete_elem(&mounts, &owner);
	if (call->number == __NR_setxattrat) /* struct xattr_args: the value's address, its size, then these */
		bpf_probe_read_user(&flags, sizeof(flags), (void *)call->args[4] + 12);
	else if (!is_removed(call->number))
		flags = call->args[4];
	event->flags = flags;
}

HANDLER(on_xattr_call, file_xattr, ask_xattr, finish_xattr)

char LICENSE[] SEC("license") = "GPL";
