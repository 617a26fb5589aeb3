// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs in the kernel, and what they look at: kernel.bpf_load, kernel.bpf_attach, kernel.perf_event_open.
 *
 * What was made is read from the kernel's own objects behind the descriptors. Of a call that was refused there is only
 * what it asked for.
 */
#include "anonymous.h"
#include "written_name.h"

#define BPF_PROG_LOAD 5
#define BPF_PROG_ATTACH 8
#define BPF_RAW_TRACEPOINT_OPEN 17
#define BPF_LINK_CREATE 28
#define PERF_EVENT_IOC_SET_BPF 0x40042408
#define TRACEPOINT_BYTES 128
#define NONE (-1)

SAMPLE(kernel_bpf_load)
{
	struct header header;
	bpf_program_type_t type;
	bpf_attach_type_t attach_type;
	bpf_id_t id;
	errno_t error;
	call_t call;
	str_len_t name;
	str_len_t function; /* of the kernel, where the program is made for one */
	__u32 pad;
};

SAMPLE(kernel_bpf_attach)
{
	struct header header;
	bpf_command_t command;
	bpf_program_type_t type;
	bpf_attach_type_t attach_type;
	bpf_id_t id;
	bpf_id_t link;
	errno_t error;
	call_t call;
	str_len_t tracepoint; /* as it was asked for */
	str_len_t name;
	str_len_t function;
};

SAMPLE(kernel_perf_event_open)
{
	struct header header;
	__u64 config;
	perf_type_t type;
	__s32 target; /* as the caller counts; 0: itself, -1: all */
	__s32 cpu;    /* -1: any */
	errno_t error;
	call_t call;
	str_len_t pmu;
};

SCRATCH(bpf_text);
SCRATCH(perf_text);

/* The beginning of union bpf_attr; what a caller gives less of is 0, as the kernel has it. */
struct asked {
	union {
		struct {
			__u32 type;
			__u32 before_name[11];
			char name[16];
			__u32 ifindex;
			__u32 attach_type;
		} load;
		struct {
			__u32 target;
			__u32 program;
			__u32 type;
		} attach;
		struct {
			__u32 program;
			__u32 target;
			__u32 type;
		} link;
		struct {
			__u64 name;
			__u32 program;
		} tracepoint;
	};
};

static __always_inline void read_asked(struct asked *asked, struct call *call, bool is_ioctl)
{
	__u64 bytes = is_ioctl ? 0 : call->args[2];

	__builtin_memset(asked, 0, sizeof(*asked));
	if (bytes > sizeof(*asked))
		bytes = sizeof(*asked);
	barrier_var(bytes);
	if (bytes <= sizeof(*asked))
		bpf_probe_read_user(asked, bytes, (void *)call->args[1]);
}

static __always_inline struct bpf_prog *program_of(struct file *file)
{
	return IS_ANONYMOUS(file, "bpf-prog") ? BPF_CORE_READ(file, private_data) : NULL;
}

/* Nearly all sorts of programs have one way to be attached, and 0 here, which would be a word for another. */
static __always_inline __u32 attach_type_of(__u32 type, __u32 expected)
{
	return expected || type == BPF_PROG_TYPE_CGROUP_SKB ? expected : NONE;
}

static __always_inline void fill_loaded(struct text *text, struct kernel_bpf_load *event, struct bpf_prog *program)
{
	struct bpf_prog_aux *aux = BPF_CORE_READ(program, aux);

	event->type = BPF_CORE_READ(program, type);
	event->attach_type = attach_type_of(event->type, BPF_CORE_READ(program, expected_attach_type));
	event->id = BPF_CORE_READ(aux, id);
	event->name = write_name(text, aux->name);
	event->function = write_name(text, BPF_CORE_READ(aux, attach_func_name));
}

static __always_inline void fill_unloaded(struct text *text, struct kernel_bpf_load *event, struct asked *asked)
{
	event->type = asked->load.type;
	event->attach_type = attach_type_of(event->type, asked->load.attach_type);
	event->id = 0;
	asked->load.name[sizeof(asked->load.name) - 1] = 0;
	event->name = write_name(text, asked->load.name);
	event->function = 0;
}

static __noinline int tell_load(struct text *text, struct call *call, struct asked *asked)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct kernel_bpf_load *event = STRUCT_OF(text, kernel_bpf_load);

	if (!begin_event(&event->header, kernel_bpf_load_kind, ring_of(error_of(call->result)), task))
		return 0;
	struct bpf_prog *program = program_of(file_of(task, call->result));

	text->used = 0;
	event->error = error_of(call->result);
	event->call = call->number;
	event->pad = 0;
	if (program)
		fill_loaded(text, event, program);
	else
		fill_unloaded(text, event, asked);
	__u32 used = text->used;

	if (used <= TEXT_BYTES)
		submit(ring_of(error_of(call->result)), &event->header, sizeof(*event) + used);
	return 0;
}

/* What was asked for; returns the descriptor of the program. */
static __always_inline __s32 fill_asked(struct text *text, struct kernel_bpf_attach *event, struct call *call,
					struct asked *asked)
{
	event->attach_type = NONE;
	event->tracepoint = 0;
	event->command = call->number == __NR_ioctl ? NONE : call->args[0];
	switch (event->command) {
	case BPF_PROG_ATTACH:
		event->attach_type = asked->attach.type;
		return asked->attach.program;
	case BPF_LINK_CREATE:
		event->attach_type = asked->link.type;
		return asked->link.program;
	case BPF_RAW_TRACEPOINT_OPEN:
		event->tracepoint = write_asked_name(text, (void *)asked->tracepoint.name, TRACEPOINT_BYTES);
		return asked->tracepoint.program;
	default:
		return call->args[2];
	}
}

static __always_inline void fill_program(struct text *text, struct kernel_bpf_attach *event, struct bpf_prog *program)
{
	struct bpf_prog_aux *aux = BPF_CORE_READ(program, aux);

	event->type = program ? BPF_CORE_READ(program, type) : NONE;
	event->id = BPF_CORE_READ(aux, id);
	event->name = program ? write_name(text, aux->name) : 0;
	event->function = program ? write_name(text, BPF_CORE_READ(aux, attach_func_name)) : 0;
	if (program && event->command == BPF_RAW_TRACEPOINT_OPEN)
		event->attach_type = attach_type_of(event->type, BPF_CORE_READ(program, expected_attach_type));
}

static __always_inline __u32 link_of(struct file *file)
{
	struct bpf_link *link = IS_ANONYMOUS(file, "bpf_link") ? BPF_CORE_READ(file, private_data) : NULL;

	return BPF_CORE_READ(link, id);
}

static __noinline int tell_attach(struct text *text, struct call *call, struct asked *asked)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct kernel_bpf_attach *event = STRUCT_OF(text, kernel_bpf_attach);

	if (!begin_event(&event->header, kernel_bpf_attach_kind, ring_of(error_of(call->result)), task))
		return 0;
	text->used = 0;
	event->error = error_of(call->result);
	event->call = call->number;
	__s32 program = fill_asked(text, event, call, asked);
	bool is_link = event->command == BPF_LINK_CREATE || event->command == BPF_RAW_TRACEPOINT_OPEN;

	event->link = is_link ? link_of(file_of(task, call->result)) : 0;
	fill_program(text, event, program_of(file_of(task, program)));
	__u32 used = text->used;

	if (used <= TEXT_BYTES)
		submit(ring_of(error_of(call->result)), &event->header, sizeof(*event) + used);
	return 0;
}

/* bpf(), and the ioctl() by which a program is put on a perf event. */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_bpf_call, struct pt_regs *regs, long result)
{
	__u32 key = 0;
	struct asked asked;
	struct call call;

	if (!read_call(&call, regs, result))
		return 0;
	__u32 command = call.args[0];
	bool is_ioctl = call.number == __NR_ioctl;

	if (is_ioctl ? call.args[1] != PERF_EVENT_IOC_SET_BPF
		     : command != BPF_PROG_LOAD && command != BPF_PROG_ATTACH && command != BPF_LINK_CREATE &&
			       command != BPF_RAW_TRACEPOINT_OPEN)
		return 0;
	struct text *text = bpf_map_lookup_elem(&bpf_text, &key);

	if (!text)
		return 0;
	read_asked(&asked, &call, is_ioctl);
	return command == BPF_PROG_LOAD && !is_ioctl ? tell_load(text, &call, &asked)
						     : tell_attach(text, &call, &asked);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_perf_event_open_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&perf_text, &key);
	struct perf_event *opened = NULL;
	struct call call;

	if (!text || !read_call(&call, regs, result))
		return 0;
	struct kernel_perf_event_open *event = STRUCT_OF(text, kernel_perf_event_open);

	if (!begin_event(&event->header, kernel_perf_event_open_kind, activity_ring, task))
		return 0;
	struct file *file = file_of(task, call.result);

	text->used = 0;
	event->type = 0;
	event->config = 0;
	event->target = call.args[1];
	event->cpu = call.args[2];
	event->error = error_of(call.result);
	event->call = call.number;
	event->pmu = 0;
	if (IS_ANONYMOUS(file, "[perf_event]")) {
		opened = BPF_CORE_READ(file, private_data);
		event->type = BPF_CORE_READ(opened, attr.type);
		event->config = BPF_CORE_READ(opened, attr.config);
		event->pmu = write_name(text, BPF_CORE_READ(opened, pmu, name));
	} else { /* struct perf_event_attr: type, size, config */
		bpf_probe_read_user(&event->type, sizeof(event->type), (void *)call.args[0]);
		bpf_probe_read_user(&event->config, sizeof(event->config), (void *)call.args[0] + sizeof(__u64));
	}
	__u32 used = text->used;

	if (used <= TEXT_BYTES)
		submit(activity_ring, &event->header, sizeof(*event) + used);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
