// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs in the kernel: kernel.bpf_load, kernel.bpf_attach.
 *
 * What was made is read from the kernel's own objects behind the descriptors. Of a call that was refused there is only
 * what it asked for.
 */
#include "anonymous.h"
#include "written_name.h"

#define BPF_PROG_LOAD 5
#define BPF_PROG_ATTACH 8
#define BPF_PROG_DETACH 9
#define BPF_RAW_TRACEPOINT_OPEN 17
#define BPF_LINK_CREATE 28
#define BPF_LINK_UPDATE 29
#define BPF_LINK_DETACH 34
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

SCRATCH(bpf_text);

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
		struct {
			__u32 link;
			__u32 program;
		} update;
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
	case BPF_PROG_DETACH:
		event->attach_type = asked->attach.type;
		return asked->attach.program;
	case BPF_LINK_CREATE:
		event->attach_type = asked->link.type;
		return asked->link.program;
	case BPF_RAW_TRACEPOINT_OPEN:
		event->tracepoint = write_asked_name(text, (void *)asked->tracepoint.name, TRACEPOINT_BYTES);
		return asked->tracepoint.program;
	case BPF_LINK_UPDATE:
		return asked->update.program;
	case BPF_LINK_DETACH:
		return NONE;
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

/* The link that was made, or was to be changed. */
static __always_inline struct bpf_link *link_of(struct kernel_bpf_attach *event, struct call *call, struct asked *asked)
{
	__s32 descriptor = NONE;

	if (event->command == BPF_LINK_CREATE || event->command == BPF_RAW_TRACEPOINT_OPEN)
		descriptor = call->result;
	else if (event->command == BPF_LINK_UPDATE || event->command == BPF_LINK_DETACH)
		descriptor = asked->update.link;
	struct file *file = file_of(bpf_get_current_task_btf(), descriptor);

	return IS_ANONYMOUS(file, "bpf_link") ? BPF_CORE_READ(file, private_data) : NULL;
}

/* Of a link that was changed the link itself has it, whatever the descriptors are by now. */
static __always_inline bool is_changed(struct kernel_bpf_attach *event)
{
	return event->command == BPF_LINK_DETACH || (event->command == BPF_LINK_UPDATE && !event->error);
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
	__s32 descriptor = fill_asked(text, event, call, asked);
	struct bpf_link *link = link_of(event, call, asked);
	struct bpf_prog *program =
		is_changed(event) ? BPF_CORE_READ(link, prog) : program_of(file_of(task, descriptor));

	event->link = BPF_CORE_READ(link, id);
	fill_program(text, event, program);
	__u32 used = text->used;

	if (used <= TEXT_BYTES)
		submit(ring_of(error_of(call->result)), &event->header, sizeof(*event) + used);
	return 0;
}

/* Whether it is told what bpf() was asked to do. */
static __always_inline bool is_told(__u32 command)
{
	switch (command) {
	case BPF_PROG_LOAD:
	case BPF_PROG_ATTACH:
	case BPF_PROG_DETACH:
	case BPF_RAW_TRACEPOINT_OPEN:
	case BPF_LINK_CREATE:
	case BPF_LINK_UPDATE:
	case BPF_LINK_DETACH:
		return true;
	}
	return false;
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

	if (is_ioctl ? (__u32)call.args[1] != PERF_EVENT_IOC_SET_BPF : !is_told(command))
		return 0;
	struct text *text = bpf_map_lookup_elem(&bpf_text, &key);

	if (!text)
		return 0;
	read_asked(&asked, &call, is_ioctl);
	return command == BPF_PROG_LOAD && !is_ioctl ? tell_load(text, &call, &asked)
						     : tell_attach(text, &call, &asked);
}

char LICENSE[] SEC("license") = "GPL";
