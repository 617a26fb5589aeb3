// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where programs are pinned, these stand at the hooks and hand each event on to the programs of one generation.
 *
 * The programs of a generation are loaded, not attached: user space puts them into one of the two slots of each hook's
 * array. `word` is the number of the running generation, its last bit the slot; one write to it switches all hooks at
 * once. Each event reads it exactly once, here, so exactly one generation sees the event. Two programs attached side by
 * side that each looked at the word could both see an event or neither, when it changes between them.
 *
 * These outlive the build that loaded them: later builds only add to this file.
 */
#include "loss.h"

struct dispatch {
	__u32 generation;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dispatch);
} word SEC(".maps");

/* Events that were handed to nobody: the slot was empty. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct loss);
} undispatched SEC(".maps");

/* After a tail call that works nothing of this program runs any more. */
#define DISPATCH(hook, section)                                                                                        \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                                                 \
		__uint(max_entries, 2);                                                                                \
		__type(key, __u32);                                                                                    \
		__type(value, __u32);                                                                                  \
	} hook##_programs SEC(".maps");                                                                                \
                                                                                                                       \
	SEC(section)                                                                                                   \
	int hook(void *ctx)                                                                                            \
	{                                                                                                              \
		__u32 key = 0;                                                                                         \
		struct dispatch *running = bpf_map_lookup_elem(&word, &key);                                           \
		struct loss *loss = bpf_map_lookup_elem(&undispatched, &key);                                          \
                                                                                                                       \
		if (running)                                                                                           \
			bpf_tail_call(ctx, &hook##_programs, running->generation & 1);                                 \
		if (loss)                                                                                              \
			note_loss(loss, bpf_ktime_get_boot_ns());                                                      \
		return 0;                                                                                              \
	}

DISPATCH(on_exec, "tp_btf/sched_process_exec")
DISPATCH(on_fork, "tp_btf/sched_process_fork")
DISPATCH(on_exit, "tp_btf/sched_process_exit")

char LICENSE[] SEC("license") = "GPL";
