// SPDX-License-Identifier: GPL-2.0-only
/*
 * What belongs to a file changes: file.chmod, file.chown, file.truncate. Extended attributes are in xattr.bpf.c.
 *
 * The noting hooks have the path and what was true before; what was asked for is what the sample says is new.
 */
#define TEXT_BYTES 8704 /* a path as asked for, behind its directory, and room for what is cut off */
#include "change.h"

#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif
#define PERMISSIONS 07777
#define SET_ID 06000	/* S_ISUID and S_ISGID */
#define REGULAR 0100000 /* a type, so that a mode without any permission is one */

SAMPLE(file_chmod)
{
	struct header header;
	struct file_change change;
	file_mode_t original_mode;
	flag_t set_id;
	__u8 pad[5];
};

SAMPLE(file_chown)
{
	struct header header;
	struct file_change change;
	owner_id_t original_owner;
	owner_id_t original_group;
};

SAMPLE(file_truncate)
{
	struct header header;
	struct file_change change;
	__s64 size;
};

static __always_inline void note_path_change(struct note *note, struct file_change *change, struct path *path)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry);

	note_change(note, change, BPF_CORE_READ(path, mnt), dentry, BPF_CORE_READ(dentry, d_inode));
}

/*
 * The mode as it was asked for, not as it is by now: another thread may have changed it again, so that nobody sees that
 * a program was setuid for a moment.
 */
static __always_inline void set_mode(struct file_chmod *event, __u32 mode)
{
	event->change.object.mode = (mode & PERMISSIONS) | REGULAR;
	event->set_id = !event->change.error && mode & SET_ID & ~event->original_mode;
}

static __always_inline void note_chmod(struct path *path, __u32 mode)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct note *note = begin_note(task, file_chmod_kind);

	if (!note)
		return;
	struct file_chmod *event = STRUCT_OF(&note->text, file_chmod);

	note_path_change(note, &event->change, path);
	event->original_mode = event->change.object.mode;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	set_mode(event, mode);
	end_note(note, file_chmod_kind, &event->header, &event->change, sizeof(*event), task);
}

NOTING(path_chmod, security_path_chmod, note_chmod(path, mode), struct path *path, __u16 mode)

static __always_inline void ask_chmod(struct note *note, struct file_chmod *event, struct call *call,
				      struct task_struct *task)
{
	bool at = call->number == __NR_fchmodat || call->number == __NR_fchmodat2;

	event->original_mode = 0;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	if (call->number == __NR_fchmodat2)
		ask_path_or_file(note, &event->change, call->args, call->args[3], task);
	else if (call->number != __NR_fchmod)
		ask_path(note, &event->change, (void *)call->args[at], at ? call->args[0] : AT_FDCWD);
	else if (!ask_file(note, &event->change, call->args[0], task))
		ask_nothing(note, &event->change);
}

static __always_inline void finish_chmod(struct file_chmod *event, struct call *call, bool known)
{
	bool at = call->number == __NR_fchmodat || call->number == __NR_fchmodat2;

	set_mode(event, call->args[at ? 2 : 1]);
}

HANDLER(on_chmod_call, file_chmod, ask_chmod, finish_chmod)

/* (uid_t)-1 leaves it as it is. */
static __always_inline void set_owner(struct file_change *change, __u32 owner, __u32 group)
{
	if (owner != -1U)
		change->object.owner = owner;
	if (group != -1U)
		change->object.group = group;
}

static __always_inline void note_chown(struct path *path, __u32 owner, __u32 group)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct note *note = begin_note(task, file_chown_kind);

	if (!note)
		return;
	struct file_chown *event = STRUCT_OF(&note->text, file_chown);

	note_path_change(note, &event->change, path);
	event->original_owner = event->change.object.owner;
	event->original_group = event->change.object.group;
	set_owner(&event->change, owner, group);
	end_note(note, file_chown_kind, &event->header, &event->change, sizeof(*event), task);
}

NOTING(path_chown, security_path_chown, note_chown(path, owner, group), struct path *path, __u32 owner, __u32 group)

/* An id as the caller's user namespace has it, in the first one; -1 where it has no such id there, or too many maps. */
static __always_inline __u32 first_id(struct uid_gid_map *map, __u32 id)
{
	__u32 extents = BPF_CORE_READ(map, nr_extents);

	for (int i = 0; i < 5; i++) {
		struct uid_gid_extent *extent = &map->extent[i];
		__u32 first = BPF_CORE_READ(extent, first);

		if (i < extents && extents <= 5 && id >= first && id - first < BPF_CORE_READ(extent, count))
			return BPF_CORE_READ(extent, lower_first) + id - first;
	}
	return -1;
}

static __always_inline void ask_chown(struct note *note, struct file_chown *event, struct call *call,
				      struct task_struct *task)
{
	bool at = call->number == __NR_fchownat;
	struct user_namespace *namespace = task->cred->user_ns;

	event->original_owner = -1;
	event->original_group = -1;
	if (at)
		ask_path_or_file(note, &event->change, call->args, call->args[4], task);
	else if (call->number != __NR_fchown)
		ask_path(note, &event->change, (void *)call->args[0], AT_FDCWD);
	else if (!ask_file(note, &event->change, call->args[0], task))
		ask_nothing(note, &event->change);
	set_owner(&event->change, first_id(&namespace->uid_map, call->args[at ? 2 : 1]),
		  first_id(&namespace->gid_map, call->args[at ? 3 : 2]));
}

static __always_inline void finish_chown(struct file_chown *event, struct call *call, bool known)
{
}

HANDLER(on_chown_call, file_chown, ask_chown, finish_chown)

static __always_inline void note_truncate(struct path *path, __s64 size, bool of_file)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (of_file && has_end(task)) /* the handler has the descriptor */
		return;
	struct note *note = begin_note(task, file_truncate_kind);

	if (!note)
		return;
	struct file_truncate *event = STRUCT_OF(&note->text, file_truncate);

	note_path_change(note, &event->change, path);
	event->size = size;
	end_note(note, file_truncate_kind, &event->header, &event->change, sizeof(*event), task);
}

NOTING(truncate, vfs_truncate, note_truncate(path, size, false), struct path *path, __s64 size)
NOTING(ftruncate, do_ftruncate, note_truncate(&file->f_path, size, true), struct file *file, __s64 size)

static __always_inline void ask_truncate(struct note *note, struct file_truncate *event, struct call *call,
					 struct task_struct *task)
{
	if (call->number == __NR_truncate)
		ask_path(note, &event->change, (void *)call->args[0], AT_FDCWD);
	else if (!ask_file(note, &event->change, call->args[0], task))
		ask_nothing(note, &event->change);
}

static __always_inline void finish_truncate(struct file_truncate *event, struct call *call, bool known)
{
	event->size = call->args[1];
}

HANDLER(on_truncate_call, file_truncate, ask_truncate, finish_truncate)

char LICENSE[] SEC("license") = "GPL";
