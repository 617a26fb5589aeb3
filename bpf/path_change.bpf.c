// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names go, move and are added: file.delete, file.rename, file.link.
 *
 * The kernel's hooks for path-based security modules have the directory's path and the name's dentry, when all is
 * looked up and nothing is done yet. Overlay and the like call their lower file systems below these hooks: the path is
 * the one that the process sees.
 */
#define TEXT_BYTES 16640 /* two paths as asked for, each behind its directory, and room for what is cut off */
#include "change.h"

#define AT_REMOVEDIR 0x200
#define DIRECTORY 0040000
#define SYMBOLIC_LINK 0120000
#ifndef __NR_renameat2
#define __NR_renameat2 316
#endif

SAMPLE(file_delete)
{
	struct header header;
	struct file_change change;
};

SAMPLE(file_rename)
{
	struct header header;
	struct file_change change;
	rename_flags_t flags;
	str_len_t original;
	cut_t original_cut;
	__u8 pad[7];
};

SAMPLE(file_link)
{
	struct header header;
	struct file_change change;
	str_len_t original;
	str_len_t target;
	cut_t original_cut;
	cut_t target_cut;
	__u8 pad[6];
};

static __always_inline void note_delete(struct path *directory, struct dentry *name)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct note *note = begin_note(task, file_delete_kind);

	if (!note)
		return;
	struct file_delete *event = STRUCT_OF(&note->text, file_delete);

	note_change(note, &event->change, BPF_CORE_READ(directory, mnt), name, BPF_CORE_READ(name, d_inode));
	end_note(note, file_delete_kind, &event->header, &event->change, sizeof(*event), task);
}

NOTING(path_unlink, security_path_unlink, note_delete(directory, name), struct path *directory, struct dentry *name)
NOTING(path_rmdir, security_path_rmdir, note_delete(directory, name), struct path *directory, struct dentry *name)

static __always_inline bool is_removed_directory(struct call *call)
{
	return call->number == __NR_rmdir || (call->number == __NR_unlinkat && call->args[2] & AT_REMOVEDIR);
}

static __always_inline void ask_delete(struct note *note, struct file_delete *event, struct call *call,
				       struct task_struct *task)
{
	bool at = call->number == __NR_unlinkat;

	ask_path(note, &event->change, (void *)call->args[at], at ? call->args[0] : AT_FDCWD);
	if (!call->result && is_removed_directory(call))
		event->change.object.type = DIRECTORY;
}

static __always_inline void finish_delete(struct file_delete *event, struct call *call, bool known)
{
}

HANDLER(on_delete_call, file_delete, ask_delete, finish_delete)

static __always_inline void note_rename(struct path *from, struct dentry *old_name, struct path *to,
					struct dentry *new_name, __u32 flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct note *note = begin_note(task, file_rename_kind);

	if (!note)
		return;
	struct file_rename *event = STRUCT_OF(&note->text, file_rename);

	note_change(note, &event->change, BPF_CORE_READ(to, mnt), new_name, BPF_CORE_READ(old_name, d_inode));
	event->original = note_path_of(note, BPF_CORE_READ(from, mnt), old_name, &event->original_cut);
	event->flags = flags;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	end_note(note, file_rename_kind, &event->header, &event->change, sizeof(*event), task);
}

NOTING(path_rename, security_path_rename, note_rename(from, old_name, to, new_name, flags), struct path *from,
       struct dentry *old_name, struct path *to, struct dentry *new_name, __u32 flags)

static __always_inline void ask_rename(struct note *note, struct file_rename *event, struct call *call,
				       struct task_struct *task)
{
	bool at = call->number != __NR_rename;

	ask_path(note, &event->change, (void *)call->args[at ? 3 : 1], at ? call->args[2] : AT_FDCWD);
	event->original =
		ask_path_of(note, (void *)call->args[at], at ? call->args[0] : AT_FDCWD, &event->original_cut);
	__builtin_memset(event->pad, 0, sizeof(event->pad));
}

static __always_inline void finish_rename(struct file_rename *event, struct call *call, bool known)
{
	event->flags = call->number == __NR_renameat2 ? call->args[4] : 0;
}

HANDLER(on_rename_call, file_rename, ask_rename, finish_rename)

/* Nothing but the link's name is there yet. */
static __always_inline void begin_link(struct file_link *event)
{
	event->original = 0;
	event->target = 0;
	event->original_cut = 0;
	event->target_cut = 0;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
}

/* Both names of a hard link are in one mount: the call has made sure of it by now. */
static __always_inline void note_link(struct dentry *file, struct path *directory, struct dentry *name)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct note *note = begin_note(task, file_link_kind);

	if (!note)
		return;
	struct file_link *event = STRUCT_OF(&note->text, file_link);
	struct vfsmount *mount = BPF_CORE_READ(directory, mnt);

	begin_link(event);
	note_change(note, &event->change, mount, name, BPF_CORE_READ(file, d_inode));
	event->original = note_path_of(note, mount, file, &event->original_cut);
	end_note(note, file_link_kind, &event->header, &event->change, sizeof(*event), task);
}

NOTING(path_link, security_path_link, note_link(file, directory, name), struct dentry *file, struct path *directory,
       struct dentry *name)

static __always_inline void note_symlink(struct path *directory, struct dentry *name, const char *target)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct note *note = begin_note(task, file_link_kind);

	if (!note)
		return;
	struct file_link *event = STRUCT_OF(&note->text, file_link);

	begin_link(event);
	note_change(note, &event->change, BPF_CORE_READ(directory, mnt), name, NULL);
	event->change.object.type = SYMBOLIC_LINK;
	event->target = write_string(&note->text, target, false, &event->target_cut);
	end_note(note, file_link_kind, &event->header, &event->change, sizeof(*event), task);
}

NOTING(path_symlink, security_path_symlink, note_symlink(directory, name, target), struct path *directory,
       struct dentry *name, const char *target)

static __always_inline void ask_symlink(struct note *note, struct file_link *event, struct call *call)
{
	bool at = call->number == __NR_symlinkat;

	ask_path(note, &event->change, (void *)call->args[at ? 2 : 1], at ? call->args[1] : AT_FDCWD);
	event->target = write_string(&note->text, (void *)call->args[0], true, &event->target_cut);
	event->change.object.type = SYMBOLIC_LINK;
}

/* The file itself where it was given by its descriptor and no name: then the link's path is all that is unresolved. */
static __always_inline void ask_original(struct note *note, struct file_link *event, struct call *call,
					 struct task_struct *task)
{
	bool at = call->number == __NR_linkat;
	struct file *file = at && call->args[4] & AT_EMPTY_PATH ? file_of(task, call->args[0]) : NULL;
	char first = 1;

	if (file)
		bpf_probe_read_user(&first, 1, (void *)call->args[1]);
	if (!first) {
		fill_object(&event->change.object, BPF_CORE_READ(file, f_inode));
		event->original = note_path_of(note, BPF_CORE_READ(file, f_path.mnt),
					       BPF_CORE_READ(file, f_path.dentry), &event->original_cut);
	} else {
		event->original =
			ask_path_of(note, (void *)call->args[at], at ? call->args[0] : AT_FDCWD, &event->original_cut);
	}
}

static __always_inline void ask_link(struct note *note, struct file_link *event, struct call *call,
				     struct task_struct *task)
{
	bool at = call->number == __NR_linkat;

	begin_link(event);
	if (call->number == __NR_symlink || call->number == __NR_symlinkat) {
		ask_symlink(note, event, call);
		return;
	}
	ask_path(note, &event->change, (void *)call->args[at ? 3 : 1], at ? call->args[2] : AT_FDCWD);
	ask_original(note, event, call, task);
}

/* A link that could not be made is no file. */
static __always_inline void finish_link(struct file_link *event, struct call *call, bool known)
{
	if (event->change.error && (call->number == __NR_symlink || call->number == __NR_symlinkat))
		event->change.object.type = 0;
}

HANDLER(on_link_call, file_link, ask_link, finish_link)

char LICENSE[] SEC("license") = "GPL";
