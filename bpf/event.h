/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What goes from the kernel to user space: the rings, the header of every sample, and the typedefs that say what a
 * number means. User space reads all of it from the object's BTF: the layout is written here and nowhere else.
 *
 * A sample is one struct whose name is its kind's name, followed by the bytes of its strings: a member of type
 * str_len_t or argv_len_t is the length of one of them, and they follow in the order of those members.
 */
#ifndef PODWITNESS_EVENT_H
#define PODWITNESS_EVENT_H

#include "loss.h"

/* Meaning by name: the typedef picks how user space shows the number (boot_ns_t is in loss.h). */
typedef __u64 cgroup_id_t;     /* kernfs id in the hierarchy chosen at start */
typedef __u64 exec_id_t;       /* task_struct.self_exec_id */
typedef __u64 cap_t;	       /* bit set of capabilities */
typedef __u32 tgid_t;	       /* process id in the host's pid namespace */
typedef __u32 tid_t;	       /* thread id in the host's pid namespace */
typedef __u32 ns_inum_t;       /* inode number of a namespace */
typedef __u32 signal_t;	       /* signal number, 0: none */
typedef __s32 exit_code_t;     /* exit status, -1: ended by a signal */
typedef __u32 str_len_t;       /* length of a string behind the struct */
typedef __u32 argv_len_t;      /* length of NUL-separated strings behind the struct */
typedef __u8 cut_t;	       /* what is missing of a path: 0 nothing, 1 its beginning, 2 its end */
typedef __u8 flag_t;	       /* yes or no */
typedef __s32 device_number_t; /* major or minor number, -1: none */

enum kind {
	process_exec_kind = 1,
	process_fork_kind,
	process_exit_kind,
	process_snapshot_kind,
};

/* The struct of a kind; the pointer keeps it in BTF, where user space finds it by its name. */
#define SAMPLE(name)                                                                                                   \
	const struct name *name##_layout;                                                                              \
	struct name
const enum kind *kind_names;

/* `sequence` counts the samples of one ring, those too that did not fit: a hole is a loss. */
struct header {
	__u32 kind;
	tgid_t pid;
	boot_ns_t time;
	boot_ns_t start_time;
	exec_id_t exec_id;
	cgroup_id_t cgroup;
	__u64 sequence;
};

/* Which cgroup tree names the containers; ids of different trees collide, so it is one for all. */
enum hierarchy { v2_hierarchy, pids_hierarchy, memory_hierarchy };

/*
 * Set before load; constant for the verifier, which cuts out what they exclude. Part of what a generation is: what
 * changes from agent to agent is in struct reader.
 */
const volatile enum hierarchy hierarchy = v2_hierarchy;
const volatile __u64 wake_bytes = 65536; /* less where a ring is small */

/* Sizes here are for the loader to change; the programs of all objects share the maps of this file. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 23);
} lifecycle SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} activity SEC(".maps");

/* One entry a ring, in the order of `enum ring`; user space reads them to know what was lost. */
enum ring { lifecycle_ring, activity_ring, rings };

struct ring_counts {
	__u64 produced;
	struct loss lost;   /* the ring was full */
	struct loss unread; /* nobody had read for so long that the lease was over */
	struct loss shed;   /* the reader wants less of the kind for now */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, rings);
	__type(key, __u32);
	__type(value, struct ring_counts);
} counts SEC(".maps");

/*
 * Shared with the reader, which maps it and writes it: who it is, until when it promises to read, and when it goes to
 * sleep for longer than its usual poll. Pinned programs outlive the agent that loaded them, so this is no constant.
 * Later builds only add to its end: they look into the words of earlier ones.
 */
struct reader {
	__u32 asleep;
	tgid_t agent_tgid;	  /* the agent and its children are not observed; 0: all are */
	boot_ns_t agent_start;	  /* tells the agent from a later process with its pid */
	cgroup_id_t agent_cgroup; /* nor its cgroup, where it has one of its own */
	boot_ns_t lease_until;	  /* 0: no lease */
	__u64 shed;		  /* kinds of the activity ring that are left out for now, a bit each */
	boot_ns_t looked;	  /* not for the programs: when the reader last took the beginnings of losses */
	__u32 unsaved;		  /* nor this: records were sent whose numbers the reader's spool does not know */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reader);
} reader SEC(".maps");

static __always_inline struct reader *reader_state(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&reader, &key);
}

static __always_inline struct ring_counts *counts_of(enum ring which)
{
	__u32 key = which;

	return bpf_map_lookup_elem(&counts, &key);
}

/*
 * Whether the reader has been away for longer than its lease; then the event is counted, and that is all. No lease is
 * 0, which becomes the end of time: one compare.
 */
static __always_inline bool is_unread(enum ring which, struct header *header)
{
	struct reader *state = reader_state();
	struct ring_counts *count = counts_of(which);

	if (!state || !count || header->time <= state->lease_until - 1)
		return false;
	note_loss(&count->unread, header->time);
	return true;
}

#define RING_HEADER_BYTES 8

/*
 * Wake the reader when this record crosses a boundary of 64 KiB in the producer position, not for every event: a
 * wake-up costs more than reading the record. While events come the reader polls besides; when none come it sleeps, and
 * the first one wakes it.
 */
static __always_inline __u64 wake_flag(void *ring, struct reader *state, __u64 bytes)
{
	__u64 at = bpf_ringbuf_query(ring, BPF_RB_PROD_POS);
	__u64 end = at + ((bytes + RING_HEADER_BYTES + 7) & ~7ULL);

	if (state->asleep) {
		state->asleep = 0;
		return BPF_RB_FORCE_WAKEUP;
	}
	return (at ^ end) / wake_bytes ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/* Put a whole sample into a ring; `sample` begins with its header. Of `lifecycle` nothing is ever shed. */
static __always_inline void submit(void *ring, enum ring which, struct header *sample, __u64 bytes)
{
	struct ring_counts *count = counts_of(which);
	struct reader *state = reader_state();

	if (!count || !state)
		return;
	if (which == activity_ring && state->shed >> (sample->kind & 63) & 1) {
		note_loss(&count->shed, sample->time);
		return;
	}
	sample->sequence = __sync_fetch_and_add(&count->produced, 1);
	if (bpf_ringbuf_output(ring, sample, bytes, wake_flag(ring, state, bytes)))
		note_loss(&count->lost, sample->time);
}

static __always_inline struct kernfs_node *cgroup_node(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state *state = NULL;

	if (hierarchy == v2_hierarchy)
		return BPF_CORE_READ(set, dfl_cgrp, kn);
	if (hierarchy == pids_hierarchy)
		bpf_core_read(&state, sizeof(state),
			      &set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id)]);
	else
		bpf_core_read(&state, sizeof(state),
			      &set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)]);
	return BPF_CORE_READ(state, cgroup, kn);
}

static __always_inline void fill_header(struct header *header, enum kind kind, struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	header->kind = kind;
	header->pid = BPF_CORE_READ(task, tgid);
	header->time = bpf_ktime_get_boot_ns();
	header->start_time = BPF_CORE_READ(leader, start_boottime);
	header->exec_id = BPF_CORE_READ(leader, self_exec_id);
	header->cgroup = BPF_CORE_READ(cgroup_node(task), id);
	header->sequence = 0;
}

/* How far up a child of the agent is looked for: it starts few, and they start few. */
#define OWN_ANCESTORS 4

/* The agent's own doings are not observed: telling of them would make more of them. */
static __always_inline bool is_own(struct task_struct *task)
{
	struct reader *state = reader_state();

	if (!state || !state->agent_tgid)
		return false;
	if (state->agent_cgroup && state->agent_cgroup == BPF_CORE_READ(cgroup_node(task), id))
		return true;
	for (int i = 0; i < OWN_ANCESTORS; i++) {
		__u32 tgid = BPF_CORE_READ(task, tgid);

		if (tgid == state->agent_tgid &&
		    BPF_CORE_READ(task, group_leader, start_boottime) == state->agent_start)
			return true;
		if (tgid <= 1)
			return false;
		task = BPF_CORE_READ(task, real_parent);
	}
	return false;
}

#endif
