// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory becomes executable, or a file's contents memory that can be written to: file.mmap.
 *
 * Seen at the ends of the calls. What is mapped is looked up in the process's memory then: by now another thread can
 * have put another file under the descriptor.
 */
#define TEXT_BYTES 4608 /* one path, followed by room for what is cut off */
#include "anonymous.h"

#include "stored.h"

#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_SHARED 1
#define MAP_PRIVATE 2
#define MAP_ANONYMOUS 0x20
#define VM_MAYSHARE 0x80 /* of what cannot be written to VM_SHARED is taken away */
#define MMAP_32 90
#define FMODE_BACKING (1 << 24 | 1 << 25) /* the one since 6.14, the other before; each has another meaning else */
#define MNT_NS_INTERNAL -22
#define SB_KERNMOUNT (1 << 22)

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

/* Shared memory without a file has one all the same, of a name that no other can have (mm/shmem.c). */
static __always_inline bool is_file(struct file *file)
{
	return file && !IS_NAME(BPF_CORE_READ(file, f_path.dentry, d_name.name), "dev/zero");
}

/* Overlayfs keeps the layers below it in mounts that nobody can reach. Those of the kernel itself (memfd) are others.
 */
static __always_inline bool is_layer(struct path *path)
{
	struct mount *mount = (void *)BPF_CORE_READ(path, mnt) - bpf_core_field_offset(struct mount, mnt);

	return (__s64)BPF_CORE_READ(mount, mnt_ns) == MNT_NS_INTERNAL &&
	       !(BPF_CORE_READ(path, mnt, mnt_sb, s_flags) & SB_KERNMOUNT);
}

/* Memory has the file of the layer; since 6.5 that has its own path, and that of the file above it beside it. */
static __always_inline struct path *path_mapped(struct file *file)
{
	struct backing_file *backing = (void *)file;

	if (bpf_core_field_exists(backing->user_path) && BPF_CORE_READ(file, f_mode) & FMODE_BACKING &&
	    is_layer(&file->f_path))
		return &backing->user_path;
	return &file->f_path;
}

static long note_mapping(struct task_struct *task, struct vm_area_struct *area, void *data)
{
	struct mapping *mapping = data;

	mapping->file = is_file(area->vm_file) ? area->vm_file : NULL;
	mapping->flags = area->vm_flags & VM_MAYSHARE ? MAP_SHARED : MAP_PRIVATE;
	mapping->flags |= mapping->file ? 0 : MAP_ANONYMOUS;
	mapping->modified = area->anon_vma != NULL;
	return 0;
}

/* mmap() of 32-bit programs has its arguments in memory; mmap2() has them where others do. */
static __always_inline bool read_map_args(struct call *call, struct pt_regs *regs)
{
	__u32 args[6];

	if (!is_compat() || asked_number(regs) != MMAP_32)
		return true;
	if (bpf_probe_read_user(args, sizeof(args), (void *)call->args[0]))
		return false;
	for (int i = 0; i < 6; i++)
		call->args[i] = args[i];
	return true;
}

/* Of a refused mmap(), or where another thread holds the process's memory just then, what is under the descriptor. */
static __always_inline void find_mapping(struct mapping *mapping, struct call *call, struct task_struct *task)
{
	if (call->number != __NR_mmap) {
		bpf_find_vma(task, call->args[0], note_mapping, mapping, 0);
		return;
	}
	bool found = !error_of(call->result) && !bpf_find_vma(task, call->result, note_mapping, mapping, 0);

	mapping->flags = call->args[3];
	mapping->modified = false;
	if (!found && !(mapping->flags & MAP_ANONYMOUS))
		mapping->file = file_of(task, call->args[4]);
}

/* Whether it can be one that is told; nearly all that programs ask for is memory of their own. */
static __always_inline bool is_considered(struct call *call)
{
	if (call->args[2] & PROT_EXEC || call->number != __NR_mmap)
		return call->args[2] & (PROT_EXEC | PROT_WRITE);
	return call->args[2] & PROT_WRITE && (call->args[3] & (MAP_SHARED | MAP_ANONYMOUS)) == MAP_SHARED;
}

/* MAP_SHARED_VALIDATE has the bits of both. */
static __always_inline bool is_writable_file(struct mapping *mapping, prot_t prot)
{
	struct file *file = mapping->file;

	return prot & PROT_WRITE && mapping->flags & MAP_SHARED && file && is_stored(BPF_CORE_READ(file, f_inode));
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
	struct path *path = path_mapped(file);

	fill_object(&event->object, BPF_CORE_READ(path, dentry, d_inode));
	event->path = write_path(text, path, task, &event->path_cut);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_map_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mapping mapping = {};
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&memory_text, &key);
	struct call call;

	if (!text || !read_call(&call, regs, result) || !read_map_args(&call, regs))
		return 0;
	if (!is_considered(&call))
		return 0;
	if (is_compat() && !error_of(call.result))
		call.result = (__u32)call.result; /* an address has no sign */
	find_mapping(&mapping, &call, task);
	if (!(call.args[2] & PROT_EXEC) && !is_writable_file(&mapping, call.args[2]))
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
	fill_mapping(text, event, &mapping, task);
	__u32 used = text->used;

	if (used <= TEXT_BYTES && !is_path_left_out(text, 0))
		submit(activity_ring, &event->header, sizeof(*event) + used);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
