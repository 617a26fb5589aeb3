// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counting, sampling, probing: kernel.perf_event_open.
 *
 * What was opened is read from the kernel's own object behind the descriptor. Of a call that was refused there is only
 * what it asked for.
 */
#define TEXT_BYTES 4608 /* a name; what writes paths needs that much */
#include "anonymous.h"
#include "written_name.h"

#define PERF_TYPE_SOFTWARE 1

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

SCRATCH(perf_text);

/*
 * The kernel gives clocks, which are asked for as software, to devices of its own, with numbers of this machine; the
 * name of such a device says so. What the caller has in its memory by now may be something else.
 */
static __always_inline void fill_opened(struct text *text, struct kernel_perf_event_open *event,
					struct perf_event *opened)
{
	const char *pmu = BPF_CORE_READ(opened, pmu, name);
	bool is_clock = IS_NAME(pmu, "cpu_clock") || IS_NAME(pmu, "task_clock");

	event->type = is_clock ? PERF_TYPE_SOFTWARE : BPF_CORE_READ(opened, attr.type);
	event->config = BPF_CORE_READ(opened, attr.config);
	event->pmu = write_name(text, pmu);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_perf_event_open_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&perf_text, &key);
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
		fill_opened(text, event, BPF_CORE_READ(file, private_data));
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
