// SPDX-License-Identifier: GPL-2.0-only
/* Mounts are taken away (filesystem.unmount), and the root becomes another one (filesystem.pivot_root). */
#include "mounts.h"

SAMPLE(filesystem_unmount)
{
	struct header header;
	errno_t error;
	call_t call;
	umount_flags_t flags;
	str_len_t path;
	str_len_t source;
	str_len_t type;
	cut_t path_cut;
	flag_t path_unresolved;
	__u8 pad[6];
};

SAMPLE(filesystem_pivot_root)
{
	struct header header;
	errno_t error;
	call_t call;
	str_len_t new_root;
	str_len_t put_old;
	cut_t new_root_cut;
	cut_t put_old_cut;
	flag_t path_unresolved;
	__u8 pad[5];
};

SEC("fentry/security_sb_umount")
int BPF_PROG(on_unmount_check, struct vfsmount *mount)
{
	struct text *text = scratch_text(note_scratch);
	struct path path = {.mnt = mount, .dentry = BPF_CORE_READ(mount, mnt_root)};

	if (!text)
		return 0;
	struct filesystem_unmount *event = STRUCT_OF(text, filesystem_unmount);

	event->path = write_path(text, &path, bpf_get_current_task_btf(), &event->path_cut);
	event->source = write_source(text, mount);
	event->type = write_type(text, mount);
	event->path_unresolved = 0;
	keep_note(text, filesystem_unmount_kind);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_unmount_call, struct pt_regs *regs, long result)
{
	struct text *noted = note_of(filesystem_unmount_kind), *text = noted ?: scratch_text(call_scratch);
	struct call call;

	if (!text || !read_call(&call, regs, result))
		return 0;
	struct filesystem_unmount *event = STRUCT_OF(text, filesystem_unmount);

	if (!begin_event(&event->header, filesystem_unmount_kind, ring_of(error_of(call.result)),
			 bpf_get_current_task_btf()))
		goto out;
	if (!noted) {
		event->path = write_asked_path(text, (void *)call.args[0], AT_FDCWD);
		event->source = event->type = 0;
		event->path_cut = 0;
		event->path_unresolved = 1;
	}
	event->error = error_of(call.result);
	event->call = call.number;
	event->flags = call.args[1];
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	send_mount(text, &event->header, sizeof(*event), event->error);
out:
	drop_note();
	return 0;
}

SEC("fentry/security_sb_pivotroot")
int BPF_PROG(on_pivot_check, struct path *put_old, struct path *new_root)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct text *text = scratch_text(note_scratch);

	if (!text)
		return 0;
	struct filesystem_pivot_root *event = STRUCT_OF(text, filesystem_pivot_root);

	event->new_root = write_path(text, new_root, task, &event->new_root_cut);
	event->put_old = write_path(text, put_old, task, &event->put_old_cut);
	event->path_unresolved = 0;
	keep_note(text, filesystem_pivot_root_kind);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_pivot_call, struct pt_regs *regs, long result)
{
	struct text *noted = note_of(filesystem_pivot_root_kind), *text = noted ?: scratch_text(call_scratch);
	struct call call;

	if (!text || !read_call(&call, regs, result))
		return 0;
	struct filesystem_pivot_root *event = STRUCT_OF(text, filesystem_pivot_root);

	if (!begin_event(&event->header, filesystem_pivot_root_kind, ring_of(error_of(call.result)),
			 bpf_get_current_task_btf()))
		goto out;
	if (!noted) { /* the working directory may be the new root by now: no part of what was asked for */
		event->new_root = write_asked(text, (void *)call.args[0]);
		event->put_old = write_asked(text, (void *)call.args[1]);
		event->new_root_cut = event->put_old_cut = 0;
		event->path_unresolved = 1;
	}
	event->error = error_of(call.result);
	event->call = call.number;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	send_mount(text, &event->header, sizeof(*event), event->error);
out:
	drop_note();
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
