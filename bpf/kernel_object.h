/* SPDX-License-Identifier: GPL-2.0-only */
/* Modules, BPF programs, perf events and rings, as far as we read them. Included by kernel.h, which says what its types
 * are. */
#ifndef PODWITNESS_KERNEL_OBJECT_H
#define PODWITNESS_KERNEL_OBJECT_H

struct module {
	char name[56];
	bool sig_ok;
};

struct bpf_prog_aux {
	__u32 id;
	const char *attach_func_name;
	char name[16];
};
enum bpf_prog_type {
	BPF_PROG_TYPE_CGROUP_SKB = 8,
};
enum bpf_attach_type {
	BPF_PERF_EVENT = 41,
};
struct bpf_prog {
	enum bpf_prog_type type;
	enum bpf_attach_type expected_attach_type;
	struct bpf_prog_aux *aux;
};
struct bpf_link {
	__u32 id;
	struct bpf_prog *prog;
};
struct perf_event_attr {
	__u32 type;
	__u64 config;
};
struct pmu {
	const char *name;
};
struct perf_event {
	struct pmu *pmu;
	struct perf_event_attr attr;
};
struct io_ring_ctx {
	unsigned int flags;
};

#endif
