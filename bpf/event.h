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

#include "filter.h"
#include "loss.h"

/* Meaning by name: the typedef picks how user space shows the number (boot_ns_t is in loss.h). */
typedef __u64 cgroup_id_t; /* kernfs id in the hierarchy chosen at start */
typedef __u64 exec_id_t;   /* task_struct.self_exec_id */
typedef __u64 cap_t;	   /* bit set of capabilities */
typedef __u32 tgid_t;	   /* process id in the host's pid namespace */
typedef __u32 tid_t;	   /* thread id in the host's pid namespace */
typedef __u32 ns_inum_t;   /* inode number of a namespace */
typedef __u32 signal_t;	   /* signal number, 0: none */
typedef __s32 exit_code_t; /* exit status, -1: ended by a signal */
typedef __u32 str_len_t;   /* length of a string behind the struct */
typedef __u32 argv_len_t;  /* length of NUL-separated strings behind the struct */
typedef __u8 cut_t;	   /* what is missing of a path: 0 nothing, 1 its beginning, 2 its end */
typedef __u64 duration_ns_t;
typedef __u32 count_t;	       /* 1 says nothing */
typedef __u8 flag_t;	       /* yes or no */
typedef __s32 device_number_t; /* major or minor number, -1: none */
typedef __u32 user_id_t;       /* -1: none, or as it was */
typedef __u32 owner_id_t;      /* of a file, which OpenTelemetry has as text; -1: none */
typedef __u32 group_id_t;      /* the same */
typedef __s32 errno_t;	       /* why a call failed, 0: it did not */
typedef __u32 call_t;	       /* number of a system call, as x86-64 counts them; NO_CALL: none */
typedef __u64 inode_t;	       /* 0: none */
typedef __u32 device_t;	       /* dev_t as the kernel has it inside: 12 bits major, 20 bits minor */
typedef __u16 file_mode_t;     /* permission bits, as stat has them */
typedef __u16 file_type_t;     /* what kind of file it is, as stat has it */
typedef __u64 clone_flags_t;
typedef __u64 resolve_flags_t;
typedef __u64 mount_flags_t;
typedef __u64 mount_attr_t;
typedef __u32 open_flags_t;
typedef __u32 umount_flags_t;
typedef __u32 move_mount_flags_t;
typedef __u32 prot_t;
typedef __u32 map_flags_t;
typedef __u32 memfd_flags_t;
typedef __u32 rename_flags_t;
typedef __u32 xattr_flags_t;
typedef __u8 xattr_operation_t; /* 1 set, 2 remove */
typedef __u32 at_flags_t;
typedef __u32 namespace_types_t; /* CLONE_NEW* */
typedef __u32 module_flags_t;
typedef __u32 kexec_flags_t; /* -1: another call */
typedef __u32 kexec_file_flags_t;
typedef __u8 module_signature_t; /* 1: verified, 2: not, 0: nobody knows */
typedef __u32 unload_flags_t;
typedef __s32 clock_id_t;
typedef __u32 adjustments_t;
typedef __u32 bpf_id_t; /* 0: none */
typedef __u32 io_uring_setup_t;
typedef __u32 socket_type_t;
typedef __u16 family_t;
typedef __u16 ip_protocol_t;
typedef __u16 ether_protocol_t;
typedef __u16 port_t;		 /* in the host's byte order, 0: none */
typedef __u16 transport_t;	 /* protocol over IP, UNIX_TRANSPORT: none but the kernel */
typedef __u8 ip_version_t;	 /* 4 or 6, 0: none */
typedef __u8 tcp_state_t;	 /* include/net/tcp_states.h, 0: none */
typedef __u8 direction_t;	 /* 1: outbound, 2: inbound */
typedef __u64 byte_count_t;	 /* ~0: not known */
typedef __u32 socket_protocol_t; /* third argument of socket(), in the host's byte order; above 16 bits its family */
typedef __u32 ptrace_request_t;
typedef __u32 prctl_option_t;
typedef __u32 securebits_t;
typedef __u32 ambient_t;	  /* what PR_CAP_AMBIENT does, 0: another option */
typedef __s32 capability_t;	  /* number of one capability, -1: none */
typedef __u64 changed_caps_t;	  /* bit set of capabilities; none of them says nothing */
typedef __u64 known_caps_t;	  /* bit set of capabilities, ~0: not known */
typedef __u32 group_count_t;	  /* -1: not known */
typedef __u8 gained_by_t;	  /* enum gained_by of rights.h */
typedef __u32 other_tgid_t;	  /* process id in the host's pid namespace, 0: not found */
typedef __u32 other_ns_t;	  /* inode number of a namespace, 0: none, or not known */
typedef __u32 keyctl_t;		  /* NO_KEYCTL: another call */
typedef __u32 key_serial_t;	  /* 0: none; the keyrings that every process has are words */
typedef __u32 bpf_command_t;	  /* -1: another call */
typedef __u32 bpf_program_type_t; /* -1: not known */
typedef __u32 bpf_attach_type_t;  /* -1: none */
typedef __u32 perf_type_t;
typedef __u32 reboot_command_t;
typedef __u8 io_uring_opcode_t;
typedef __u64 total_t;	      /* a sum, -1: nobody knows it (yet) */
typedef __u64 user_address_t; /* of a process's own memory */
typedef __u32 writer_t;	      /* process id, 0: the one that the event is of */
typedef __u32 write_phase_t;  /* enum write_phase */
typedef __u8 address_t[16];   /* always IPv6's form: IPv4 is ::ffff:a.b.c.d; :: where there is none */

/* Later kinds only come behind the earlier ones; 64 of them at most, a bit each in `wanted` and in `shed`. */
enum kind {
	process_exec_kind = 1,
	process_fork_kind,
	process_exit_kind,
	process_snapshot_kind,
	process_exec_failed_kind,
	file_open_kind,
	file_write_kind,
	file_truncate_kind,
	file_delete_kind,
	file_rename_kind,
	file_link_kind,
	file_chmod_kind,
	file_chown_kind,
	file_xattr_kind,
	file_mmap_kind,
	file_memfd_kind,
	filesystem_mount_kind,
	filesystem_unmount_kind,
	filesystem_move_mount_kind,
	filesystem_pivot_root_kind,
	network_connect_kind,
	network_accept_kind,
	network_listen_kind,
	network_bind_kind,
	network_close_kind,
	network_datagram_kind,
	network_socket_kind,
	network_unix_connect_kind,
	privilege_setuid_kind,
	privilege_setgid_kind,
	privilege_capset_kind,
	privilege_gained_kind,
	privilege_user_namespace_kind,
	privilege_prctl_kind,
	privilege_ptrace_kind,
	privilege_vm_access_kind,
	privilege_signal_kind,
	namespace_setns_kind,
	namespace_unshare_kind,
	namespace_clone_kind,
	namespace_escape_kind,
	kernel_module_load_kind,
	kernel_module_unload_kind,
	kernel_bpf_load_kind,
	kernel_bpf_attach_kind,
	kernel_perf_event_open_kind,
	kernel_keyring_kind,
	kernel_kexec_kind,
	kernel_reboot_kind,
	kernel_settime_kind,
	kernel_io_uring_setup_kind,
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
const volatile __u64 wanted = ~0ULL;	 /* kinds that somebody asked for, a bit each */

static __always_inline bool is_wanted(enum kind kind)
{
	return wanted >> kind & 1;
}

/* Sizes here are for the loader to change; the programs of all objects share the maps of this file. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 23);
} lifecycle SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} activity SEC(".maps");

/* Programs for the ends of system calls, by number: see call.h. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 512);
	__type(key, __u32);
	__type(value, __u32);
} calls SEC(".maps");

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
	__u32 bursts;		  /* how many are being collected (burst.h) */
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

static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *node)
{
	struct kernfs_node___rcu *renamed = (void *)node;

	if (bpf_core_field_exists(renamed->__parent))
		return BPF_CORE_READ(renamed, __parent);
	return BPF_CORE_READ(node, parent);
}

static __always_inline struct kernfs_node *cgroup_node(struct task_struct *task)
{
	struct css_set *set = task->cgroups;
	struct cgroup_subsys_state *state = NULL;

	if (hierarchy == v2_hierarchy)
		return set->dfl_cgrp->kn;
	if (hierarchy == pids_hierarchy)
		bpf_core_read(&state, sizeof(state),
			      &set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id)]);
	else
		bpf_core_read(&state, sizeof(state),
			      &set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)]);
	return BPF_CORE_READ(state, cgroup, kn);
}

/* `task` is one that the verifier knows, here and in `is_own`: then a member costs a load, not a call. */
static __always_inline void fill_header(struct header *header, enum kind kind, struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;

	header->kind = kind;
	header->pid = task->tgid;
	header->time = bpf_ktime_get_boot_ns();
	header->start_time = leader->start_boottime;
	header->exec_id = leader->self_exec_id;
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
		__u32 tgid = task->tgid;

		if (tgid == state->agent_tgid && task->group_leader->start_boottime == state->agent_start)
			return true;
		if (tgid <= 1)
			return false;
		task = task->real_parent;
	}
	return false;
}

/* What the rules say of a cgroup: the nearest one that is named, itself or above it, decides. */
static __always_inline bool is_cgroup_left_out(struct task_struct *task)
{
	struct kernfs_node *node = cgroup_node(task);
	__u8 *verdict = NULL;

	for (int i = 0; i < CGROUP_LEVELS && node && !verdict; i++) {
		__u64 id = BPF_CORE_READ(node, id);

		verdict = bpf_map_lookup_elem(&cgroup_rules, &id);
		node = kernfs_parent(node);
	}
	return is_left_out(&cgroup_filter, verdict);
}

static __always_inline struct image_key image_key_of(struct header *header)
{
	return (struct image_key){.start_time = header->start_time, .exec_id = header->exec_id, .pid = header->pid};
}

/* A child runs the program of its parent until it execs. */
static __always_inline void judge_fork(struct header *child, struct task_struct *parent)
{
	struct header of_parent = {};
	struct image_key key = image_key_of(child);

	if (!binary_filter.some)
		return;
	fill_header(&of_parent, child->kind, parent);
	struct image_key above = image_key_of(&of_parent);
	__u8 *verdict = bpf_map_lookup_elem(&image_rules, &above);

	if (verdict)
		bpf_map_update_elem(&image_rules, &key, verdict, 0);
}

static __always_inline bool is_image_left_out(struct header *header)
{
	struct image_key key = image_key_of(header);

	return binary_filter.some && bpf_map_lookup_elem(&image_rules, &key);
}

/*
 * Whether what the current task does is the agent's own, or left out by the rules. Not static: so the verifier looks at
 * its loops once for each program, not at each place and on each way that leads there.
 */
__noinline int is_current_left_out(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return is_own(task) || is_user_left_out(task) || (cgroup_filter.some && is_cgroup_left_out(task));
}

/* Whether anything that the current task does is to be known, with the header of `task`, which is it or its child. */
static __always_inline bool is_observed(struct header *header, enum kind kind, struct task_struct *task)
{
	if (is_current_left_out())
		return false;
	fill_header(header, kind, task);
	return !is_image_left_out(header);
}

/*
 * How the program of every kind but exec, fork and exit begins: whether the event is to be told, with its header filled
 * in if so. `task` is who does it.
 */
static __always_inline bool begin_event(struct header *header, enum kind kind, enum ring ring, struct task_struct *task)
{
	return is_wanted(kind) && is_observed(header, kind, task) && !is_unread(ring, header);
}

#include "rights.h"

#endif
