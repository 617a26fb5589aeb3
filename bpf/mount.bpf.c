// SPDX-License-Identifier: GPL-2.0-only
/*
 * File systems appear somewhere (filesystem.mount), or somewhere else (filesystem.move_mount).
 *
 * By mount(), or by move_mount() of what fsmount() or open_tree() has made: it is attached then, and not before. What
 * changes a mount (MS_REMOUNT, MS_SHARED, mount_setattr()) counts as mounting.
 */
#include "mounts.h"

#define MS_REMOUNT 0x20
#define MS_BIND 0x1000
#define MS_MOVE 0x2000
#define MS_PROPAGATION 0x1e0000
#define MS_MGC_VAL 0xc0ed0000
#define MS_MGC_MSK 0xffff0000
#define AT_EMPTY_PATH 0x1000
#define MOVE_MOUNT_F_EMPTY_PATH 4
#define FMODE_NEED_UNMOUNT 0x10000000

SAMPLE(filesystem_mount)
{
	struct header header;
	mount_flags_t flags;
	mount_attr_t attributes_set;
	mount_attr_t attributes_cleared;
	errno_t error;
	call_t call;
	str_len_t path;
	str_len_t source;
	str_len_t type;
	cut_t path_cut;
	flag_t path_unresolved;
	__u8 pad[2];
};

SAMPLE(filesystem_move_mount)
{
	struct header header;
	errno_t error;
	call_t call;
	move_mount_flags_t flags;
	str_len_t path;
	str_len_t original;
	cut_t path_cut;
	cut_t original_cut;
	flag_t path_unresolved;
	flag_t original_unresolved;
};

static __always_inline bool is_move(__u64 flags)
{
	return (flags & (MS_MOVE | MS_REMOUNT | MS_BIND | MS_PROPAGATION)) == MS_MOVE;
}

/* As mount() has them: include/linux/mount.h has other numbers for a mount that exists. */
static __always_inline mount_flags_t flags_of(struct vfsmount *mount)
{
	__u32 flags = BPF_CORE_READ(mount, mnt_flags);

	return (flags & 0x40 ? 1 : 0) | (flags & 1 ? 2 : 0) | (flags & 2 ? 4 : 0) | (flags & 4 ? 8 : 0) |
	       (flags & 0x80 ? 0x100 : 0) | (flags & 8 ? 0x400 : 0) | (flags & 0x10 ? 0x800 : 0) |
	       (flags & 0x20 ? 0x200000 : 0);
}

static __always_inline void clear_mount(struct filesystem_mount *event)
{
	event->flags = event->attributes_set = event->attributes_cleared = 0;
	event->path = event->source = event->type = 0;
	event->path_cut = 0;
	event->path_unresolved = 0;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
}

static __always_inline void clear_move(struct filesystem_move_mount *event)
{
	event->flags = 0;
	event->path = event->original = 0;
	event->path_cut = event->original_cut = 0;
	event->path_unresolved = event->original_unresolved = 0;
}

static __always_inline void fill_mounted(struct text *text, struct filesystem_mount *event, struct vfsmount *mount)
{
	event->flags = flags_of(mount);
	event->source = write_source(text, mount);
	event->type = write_type(text, mount);
}

SEC("fentry/security_sb_mount")
int BPF_PROG(on_mount_check, const char *source, struct path *path, const char *type, unsigned long flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct text *text = scratch_text(note_scratch);

	if (!text)
		return 0;
	if (is_move(flags)) {
		struct filesystem_move_mount *move = STRUCT_OF(text, filesystem_move_mount);

		clear_move(move);
		move->path = write_path(text, path, task, &move->path_cut);
		move->original = write_known(text, source);
		move->original_unresolved = 1;
		keep_note(text, filesystem_move_mount_kind);
		return 0;
	}
	struct filesystem_mount *mount = STRUCT_OF(text, filesystem_mount);

	clear_mount(mount);
	mount->path = write_path(text, path, task, &mount->path_cut);
	mount->source = write_known(text, source);
	mount->type = write_known(text, type);
	keep_note(text, filesystem_mount_kind);
	return 0;
}

SEC("fentry/security_move_mount")
int BPF_PROG(on_move_check, struct path *from, struct path *to)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct text *text = scratch_text(note_scratch);
	struct vfsmount *vfsmount = BPF_CORE_READ(from, mnt);
	struct mount *moved = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);

	if (!text)
		return 0;
	if (BPF_CORE_READ(moved, mnt_parent) == moved) { /* it is nowhere yet */
		struct filesystem_mount *mount = STRUCT_OF(text, filesystem_mount);

		clear_mount(mount);
		mount->path = write_path(text, to, task, &mount->path_cut);
		fill_mounted(text, mount, vfsmount);
		keep_note(text, filesystem_mount_kind);
		return 0;
	}
	struct filesystem_move_mount *move = STRUCT_OF(text, filesystem_move_mount);

	clear_move(move);
	move->path = write_path(text, to, task, &move->path_cut);
	move->original = write_path(text, from, task, &move->original_cut);
	keep_note(text, filesystem_move_mount_kind);
	return 0;
}

static __always_inline void fill_asked_mount(struct text *text, struct filesystem_mount *event, struct call *call)
{
	event->path = write_asked_path(text, (void *)call->args[1], AT_FDCWD);
	event->path_unresolved = 1;
	event->source = write_asked(text, (void *)call->args[0]);
	event->type = write_asked(text, (void *)call->args[2]);
}

static __always_inline void fill_setattr(struct text *text, struct filesystem_mount *event, struct call *call,
					 struct task_struct *task)
{
	__u64 asked[3] = {}; /* the beginning of struct mount_attr */
	struct file *file = call->args[2] & AT_EMPTY_PATH ? file_of(task, call->args[0]) : NULL;

	bpf_probe_read_user(asked, sizeof(asked), (void *)call->args[3]);
	event->attributes_set = asked[0];
	event->attributes_cleared = asked[1];
	event->flags = asked[2];
	event->path_unresolved = !file;
	event->path = file ? write_path(text, &file->f_path, task, &event->path_cut)
			   : write_asked_path(text, (void *)call->args[1], call->args[0]);
}

/* What move_mount() has attached: once it is, the file it was made with is where it was attached. */
static __always_inline void fill_attached(struct text *text, struct filesystem_mount *event, struct call *call,
					  struct file *file, struct task_struct *task)
{
	event->path_unresolved = call->result != 0;
	event->path = call->result ? write_asked_path(text, (void *)call->args[3], call->args[2])
				   : write_path(text, &file->f_path, task, &event->path_cut);
	fill_mounted(text, event, BPF_CORE_READ(file, f_path.mnt));
}

static __always_inline void fill_moved(struct text *text, struct filesystem_move_mount *event, struct call *call,
				       struct file *file, struct task_struct *task)
{
	bool seen = file && !call->result;

	event->original_unresolved = 1;
	event->path_unresolved = !seen;
	if (call->number == __NR_mount) {
		event->path = write_asked_path(text, (void *)call->args[1], AT_FDCWD);
		event->original = write_asked(text, (void *)call->args[0]);
		return;
	}
	event->path = seen ? write_path(text, &file->f_path, task, &event->path_cut)
			   : write_asked_path(text, (void *)call->args[3], call->args[2]);
	if (!file)
		event->original = write_asked_path(text, (void *)call->args[1], call->args[0]);
}

static __always_inline mount_flags_t asked_flags(struct call *call)
{
	__u64 flags = call->args[3];

	return (flags & MS_MGC_MSK) == MS_MGC_VAL ? flags & ~MS_MGC_MSK : flags; /* as do_mount() has it */
}

static __always_inline void tell_move(struct text *noted, struct call *call, struct file *file,
				      struct task_struct *task)
{
	struct text *text = noted ?: scratch_text(call_scratch);

	if (!text)
		return;
	struct filesystem_move_mount *event = STRUCT_OF(text, filesystem_move_mount);

	if (!begin_event(&event->header, filesystem_move_mount_kind, ring_of(error_of(call->result)), task))
		return;
	if (!noted) {
		clear_move(event);
		fill_moved(text, event, call, file, task);
	}
	event->error = error_of(call->result);
	event->call = call->number;
	event->flags = call->number == __NR_move_mount ? call->args[4] : 0;
	send_mount(text, &event->header, sizeof(*event), event->error);
}

static __always_inline void tell_mount(struct text *noted, struct call *call, struct file *file,
				       struct task_struct *task)
{
	struct text *text = noted ?: scratch_text(call_scratch);

	if (!text)
		return;
	struct filesystem_mount *event = STRUCT_OF(text, filesystem_mount);

	if (!begin_event(&event->header, filesystem_mount_kind, ring_of(error_of(call->result)), task))
		return;
	if (!noted) {
		clear_mount(event);
		if (call->number == __NR_mount)
			fill_asked_mount(text, event, call);
		else if (call->number == __NR_mount_setattr)
			fill_setattr(text, event, call, task);
		else if (file)
			fill_attached(text, event, call, file, task);
	}
	event->error = error_of(call->result);
	event->call = call->number;
	if (call->number == __NR_mount)
		event->flags = asked_flags(call);
	send_mount(text, &event->header, sizeof(*event), event->error);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_mount_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *file = NULL;
	struct call call;

	if (!read_call(&call, regs, result))
		return 0;
	struct text *mounted = note_of(filesystem_mount_kind), *moved = note_of(filesystem_move_mount_kind);

	if (call.number == __NR_move_mount && call.args[4] & MOVE_MOUNT_F_EMPTY_PATH)
		file = file_of(task, call.args[0]);
	bool attaches = file && BPF_CORE_READ(file, f_mode) & FMODE_NEED_UNMOUNT;
	bool moves = call.number == __NR_mount ? is_move(call.args[3]) : call.number == __NR_move_mount && !attaches;

	if (moved || (moves && !mounted))
		tell_move(moved, &call, file, task);
	else
		tell_mount(mounted, &call, file, task);
	drop_note();
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
