// SPDX-License-Identifier: GPL-2.0-only
/*
 * Other code gets into the kernel, or another kernel: kernel.module_load, kernel.module_unload, kernel.kexec.
 *
 * What a module is called is in the module itself, which by the end of the call may be gone: the tracepoints of its
 * coming and going note it with the thread, the end of the call tells it with the result.
 */
#include "file.h"
#include "written_name.h"

#define MODULE_NAME_BYTES 56

enum module_signature { unknown_signature, verified_signature, no_signature };

SAMPLE(kernel_module_load)
{
	struct header header;
	module_flags_t flags;
	errno_t error;
	call_t call;
	str_len_t name;
	str_len_t path;
	cut_t path_cut;
	module_signature_t signature;
	__u8 pad[2];
};

SAMPLE(kernel_module_unload)
{
	struct header header;
	unload_flags_t flags;
	errno_t error;
	call_t call;
	str_len_t name;
};

SAMPLE(kernel_kexec)
{
	struct header header;
	kexec_flags_t flags;
	kexec_file_flags_t file_flags;
	errno_t error;
	call_t call;
	str_len_t path;
	str_len_t initrd;
	cut_t path_cut;
	cut_t initrd_cut;
	__u8 pad[6];
};

SCRATCH(load_text);
SCRATCH(unload_text);
SCRATCH(kexec_text);

/* The module that a thread is loading or unloading. */
struct noted_module {
	char name[MODULE_NAME_BYTES];
	__u64 signature;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct noted_module);
} modules SEC(".maps");

static __always_inline int note_module(struct module *module)
{
	struct noted_module *noted =
		bpf_task_storage_get(&modules, bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!noted)
		return 0;
	bpf_probe_read_kernel_str(noted->name, sizeof(noted->name), module->name);
	if (bpf_core_field_exists(module->sig_ok))
		noted->signature = BPF_CORE_READ(module, sig_ok) ? verified_signature : no_signature;
	return 0;
}

/* It has passed all checks; what its own init function says is not known yet. */
SEC("tp_btf/module_load")
int BPF_PROG(on_module_load, struct module *module)
{
	return note_module(module);
}

SEC("tp_btf/module_free")
int BPF_PROG(on_module_free, struct module *module)
{
	return note_module(module);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_module_load_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&load_text, &key);
	struct call call;

	if (!text || !read_call(&call, regs, result))
		return 0;
	struct kernel_module_load *event = STRUCT_OF(text, kernel_module_load);

	if (!begin_event(&event->header, kernel_module_load_kind, ring_of(error_of(call.result)), task)) {
		bpf_task_storage_delete(&modules, task);
		return 0;
	}
	struct noted_module *noted = bpf_task_storage_get(&modules, task, NULL, 0);
	bool is_file = call.number == __NR_finit_module;
	struct file *file = is_file ? file_of(task, call.args[0]) : NULL;

	text->used = 0;
	event->flags = is_file ? call.args[2] : 0;
	event->error = error_of(call.result);
	event->call = call.number;
	event->name = noted ? write_name(text, noted->name) : 0;
	event->signature = noted ? noted->signature : unknown_signature;
	event->path_cut = 0;
	event->path = file ? write_path(text, &file->f_path, task, &event->path_cut) : 0;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	bpf_task_storage_delete(&modules, task);
	__u32 used = text->used;

	if (used <= TEXT_BYTES)
		submit(ring_of(error_of(call.result)), &event->header, sizeof(*event) + used);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_module_unload_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&unload_text, &key);
	struct call call;

	if (!text || !read_call(&call, regs, result))
		return 0;
	struct kernel_module_unload *event = STRUCT_OF(text, kernel_module_unload);

	if (!begin_event(&event->header, kernel_module_unload_kind, ring_of(error_of(call.result)), task)) {
		bpf_task_storage_delete(&modules, task);
		return 0;
	}
	struct noted_module *noted = bpf_task_storage_get(&modules, task, NULL, 0);

	text->used = 0;
	event->flags = call.args[1];
	event->error = error_of(call.result);
	event->call = call.number;
	event->name =
		noted ? write_name(text, noted->name) : write_asked_name(text, (void *)call.args[0], MODULE_NAME_BYTES);
	bpf_task_storage_delete(&modules, task);
	__u32 used = text->used;

	if (used <= TEXT_BYTES)
		submit(ring_of(error_of(call.result)), &event->header, sizeof(*event) + used);
	return 0;
}

static __always_inline __u32 write_file(struct text *text, struct task_struct *task, __s32 fd, cut_t *cut)
{
	struct file *file = file_of(task, fd);

	*cut = 0;
	return file ? write_path(text, &file->f_path, task, cut) : 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_kexec_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&kexec_text, &key);
	struct call call;

	if (!text || !read_call(&call, regs, result))
		return 0;
	struct kernel_kexec *event = STRUCT_OF(text, kernel_kexec);

	if (!begin_event(&event->header, kernel_kexec_kind, ring_of(error_of(call.result)), task))
		return 0;
	bool has_files = call.number == __NR_kexec_file_load;

	text->used = 0;
	event->flags = has_files ? -1 : call.args[3];
	event->file_flags = has_files ? call.args[4] : 0;
	event->error = error_of(call.result);
	event->call = call.number;
	event->path = write_file(text, task, has_files ? call.args[0] : -1, &event->path_cut);
	event->initrd = write_file(text, task, has_files ? call.args[1] : -1, &event->initrd_cut);
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	__u32 used = text->used;

	if (used <= TEXT_BYTES)
		submit(ring_of(error_of(call.result)), &event->header, sizeof(*event) + used);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
