// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory becomes executable: file.mmap.
 *
 * Seen at the ends of the calls. What mprotect() was done to is looked up in the process's memory then.
 */
#define TEXT_BYTES 4608 /* one path, followed by room for what is cut off */
#include "file.h"

#define PROT_EXEC 4
#define MAP_SHARED 1
#define MAP_PRIVATE 2
#define MAP_ANONYMOUS 0x20
#define VM_SHARED 8

SAMPLE(file_mmap)
{
	struct header header;
	struct object object;
	user_address_t address;
	__u64 length;
	errno_t error;
	call_t call;
	prot_t prot;
	map_flags_t flags;
	str_len_t path;
	cut_t path_cut;
	flag_t modified; /* pages of a private mapping had been written to */
	__u8 pad[2];
};

SCRATCH(memory_text);

/* What is mapped where: the file, if it is one. */
struct mapping {
	struct file *file;
	map_flags_t flags;
	bool modified;
};

static long note_mapping(struct task_struct *task, struct vm_area_struct *area, void *data)
{
	struct mapping *mapping = data;

	mapping->file = area->vm_file;
	mapping->flags = area->vm_flags & VM_SHARED ? MAP_SHARED : MAP_PRIVATE;
	mapping->flags |= area->vm_file ? 0 : MAP_ANONYMOUS;
	mapping->modified = area->anon_vma != NULL;
	return 0;
}

/* mmap() of 32-bit programs has its arguments in memory; mmap2() is another call. */
static __always_inline bool read_map_args(struct call *call)
{
	__u32 args[6];

	if (!is_compat())
		return true;
	if (bpf_probe_read_user(args, sizeof(args), (void *)call->args[0]))
		return false;
	for (int i = 0; i < 6; i++)
		call->args[i] = args[i];
	return true;
}

static __always_inline void find_mapping(struct mapping *mapping, struct call *call, struct task_struct *task)
{
	if (call->number != __NR_mmap) {
		bpf_find_vma(task, call->args[0], note_mapping, mapping, 0);
		return;
	}
	mapping->flags = call->args[3];
	if (!(mapping->flags & MAP_ANONYMOUS))
		mapping->file = file_of(task, call->args[4]);
}

static __always_inline void fill_mapping(struct text *text, struct file_mmap *event, struct mapping *mapping,
					 struct task_struct *task)
{
	struct file *file = mapping->file;

	event->flags = mapping->flags;
	event->modified = mapping->modified;
	text->used = 0;
	event->path = 0;
	event->path_cut = 0;
	if (!file) {
		clear_object(&event->object);
		return;
	}
	fill_object(&event->object, BPF_CORE_READ(file, f_inode));
	event->path = write_path(text, &file->f_path, task, &event->path_cut);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_map_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mapping mapping = {};
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&memory_text, &key);
	struct call call;

	if (!text || !read_call(&call, regs, result) || (call.number == __NR_mmap && !read_map_args(&call)))
		return 0;
	if (!(call.args[2] & PROT_EXEC))
		return 0;
	struct file_mmap *event = STRUCT_OF(text, file_mmap);

	if (!begin_event(&event->header, file_mmap_kind, activity_ring, task))
		return 0;
	event->error = error_of(call.result);
	event->address = call.number == __NR_mmap && !event->error ? call.result : call.args[0];
	event->length = call.args[1];
	event->call = call.number;
	event->prot = call.args[2];
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	find_mapping(&mapping, &call, task);
	fill_mapping(text, event, &mapping, task);
	__u32 used = text->used;

	if (used <= TEXT_BYTES && !is_path_left_out(text, 0))
		submit(activity_ring, &event->header, sizeof(*event) + used);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
