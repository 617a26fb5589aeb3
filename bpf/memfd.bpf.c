// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files come to be that only memory has: file.memfd.
 *
 * Seen at the ends of the calls: then the file is there, and has the name under which it was made.
 */
#define TEXT_BYTES 4608 /* one path, followed by room for what is cut off and for the name */
#include "file.h"

#define MFD_CLOEXEC 1
#define O_CLOEXEC 02000000
#define MEMFD_PREFIX 6 /* "memfd:", mm/memfd.c */

SAMPLE(file_memfd)
{
	struct header header;
	struct object object;
	errno_t error;
	call_t call;
	memfd_flags_t flags;
	str_len_t path;
	str_len_t name;
	cut_t path_cut;
	__u8 pad[3];
};

SCRATCH(memfd_text);

/* The name by which the kernel knows it, which nobody can change: that of its directory entry, behind the prefix. */
static __noinline __u32 write_memfd_name(struct text *text, struct file *file)
{
	__u32 at = text->used;
	const unsigned char *name = BPF_CORE_READ(file, f_path.dentry, d_name.name);

	if (at > TEXT_BYTES - NAME_BYTES)
		return 0;
	long length = bpf_probe_read_kernel_str(&text->bytes[at], NAME_BYTES, name + MEMFD_PREFIX);

	if (length <= 1 || length > NAME_BYTES)
		return 0;
	text->used = at + length - 1;
	return length - 1;
}

static __always_inline void fill_memfd(struct text *text, struct file_memfd *event, struct call *call,
				       struct task_struct *task)
{
	struct file *file = file_of(task, call->result);
	bool named = call->number == __NR_memfd_create;

	text->used = 0;
	event->path = event->name = 0;
	event->path_cut = 0;
	if (!file) {
		clear_object(&event->object);
		if (named)
			event->name = write_asked(text, (void *)call->args[0]);
		return;
	}
	fill_object(&event->object, BPF_CORE_READ(file, f_inode));
	event->path = write_path(text, &file->f_path, task, &event->path_cut);
	if (named)
		event->name = write_memfd_name(text, file);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_memfd_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&memfd_text, &key);
	struct call call;

	if (!text || !read_call(&call, regs, result))
		return 0;
	struct file_memfd *event = STRUCT_OF(text, file_memfd);

	if (!begin_event(&event->header, file_memfd_kind, activity_ring, task))
		return 0;
	event->error = error_of(call.result);
	event->call = call.number;
	event->flags = call.number == __NR_memfd_create ? call.args[1] : call.args[0] & O_CLOEXEC ? MFD_CLOEXEC : 0;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	fill_memfd(text, event, &call, task);
	__u32 used = text->used;

	if (used <= TEXT_BYTES)
		submit(activity_ring, &event->header, sizeof(*event) + used);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
