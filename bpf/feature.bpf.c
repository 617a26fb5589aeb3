// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this kernel can do, found out by doing it: each program counts the calls of getpgid(PID), and the agent does
 * one and looks whether it was counted. That a program loads or attaches says less: one at an LSM hook does both, and
 * never runs, where `bpf` is no active security module.
 */
#include "kernel.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} runs SEC(".maps");

static __always_inline int count_run(void)
{
	__u32 key = 0, *run = bpf_map_lookup_elem(&runs, &key);

	if (run) /* whoever called: then it runs */
		__sync_fetch_and_add(run, 1);
	return 0;
}

SEC("fentry/security_task_getpgid")
int try_fentry(void *ctx)
{
	return count_run();
}

SEC("lsm/task_getpgid")
int try_lsm(void *ctx)
{
	return count_run();
}

SEC("kprobe/security_task_getpgid")
int try_kprobe(void *ctx)
{
	return count_run();
}

char LICENSE[] SEC("license") = "GPL";
