// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who becomes somebody else and who gains capabilities: privilege.setuid, .setgid, .capset, .gained, .prctl.
 *
 * What a thread could do before a call is kept with it (rights.h): forks and execs are looked at too, to know it.
 */
#include "call.h"
#include "gained.h"

#define S_ISUID 04000

#define PR_SET_DUMPABLE 4
#define PR_SET_KEEPCAPS 8
#define PR_SET_SECUREBITS 28
#define PR_SET_NO_NEW_PRIVS 38
#define PR_CAP_AMBIENT 47
#define PR_CAP_AMBIENT_IS_SET 1
#define PR_CAP_AMBIENT_CLEAR_ALL 4

#define CAPABILITY_VERSION_1 0x19980330 /* 32 bits of capabilities; later ones have 64 */

/* -1: left as it is, or not asked for. */
struct asked_ids {
	user_id_t real;
	user_id_t effective;
	user_id_t saved;
	user_id_t fs;
};

/* Both kinds of id change alike. */
#define IDS_SAMPLE(name)                                                                                               \
	SAMPLE(name)                                                                                                   \
	{                                                                                                              \
		struct header header;                                                                                  \
		struct rights_change change;                                                                           \
		struct asked_ids asked;                                                                                \
		tid_t tid;                                                                                             \
		errno_t error;                                                                                         \
		call_t call;                                                                                           \
		__u32 pad;                                                                                             \
	}

IDS_SAMPLE(privilege_setuid);
IDS_SAMPLE(privilege_setgid);

SAMPLE(privilege_capset)
{
	struct header header;
	struct rights_change change;
	cap_t asked_effective;
	cap_t asked_permitted;
	cap_t asked_inheritable;
	changed_caps_t gained;
	changed_caps_t lost;
	tid_t tid;
	errno_t error;
};

SAMPLE(privilege_prctl)
{
	struct header header;
	__u64 value;
	prctl_option_t option;
	securebits_t securebits;
	ambient_t ambient;
	capability_t capability;
	tid_t tid;
	errno_t error;
};

/* What was asked for, where it did not come to be: else it is what is told of anyway. */
static __always_inline void fill_asked(struct asked_ids *asked, struct call *call)
{
	bool refused = error_of(call->result);

	asked->real = asked->effective = asked->saved = asked->fs = -1;
	if (call->number == __NR_setfsuid || call->number == __NR_setfsgid)
		asked->fs = call->args[0]; /* a refusal does not show in what it returns */
	else if (refused && (call->number == __NR_setuid || call->number == __NR_setgid))
		asked->effective = call->args[0];
	else if (refused && call->number != __NR_setgroups) {
		asked->real = call->args[0];
		asked->effective = call->args[1];
		if (call->number == __NR_setresuid || call->number == __NR_setresgid)
			asked->saved = call->args[2];
	}
}

/* What setfsuid() returns is an id, never an error. */
static __always_inline errno_t refusal_of(struct call *call)
{
	return call->number == __NR_setfsuid || call->number == __NR_setfsgid ? 0 : error_of(call->result);
}

static __noinline int tell_ids(struct call *call, struct task_struct *task, struct rights_change *change,
			       enum kind kind)
{
	struct privilege_setuid event = {};

	if (!begin_change(&event.header, kind, ring_of_change(change), task, change->old.euid))
		return nothing();
	event.change = *change;
	fill_asked(&event.asked, call);
	event.tid = task->pid;
	event.error = refusal_of(call);
	event.call = call->number;
	submit(ring_of_change(change), &event.header, sizeof(event));
	return nothing();
}

struct user_caps {
	__u32 effective;
	__u32 permitted;
	__u32 inheritable;
};

/* The caller's memory, which he can have changed since; what came of it is in the change. */
static __always_inline void fill_asked_caps(struct privilege_capset *event, struct call *call)
{
	struct user_caps asked[2] = {};
	__u32 version = 0;

	bpf_probe_read_user(&version, sizeof(version), (void *)call->args[0]);
	bpf_probe_read_user(&asked[0], sizeof(asked[0]), (void *)call->args[1]);
	if (version != CAPABILITY_VERSION_1)
		bpf_probe_read_user(&asked[1], sizeof(asked[1]), (void *)(call->args[1] + sizeof(asked[0])));
	event->asked_effective = (__u64)asked[1].effective << 32 | asked[0].effective;
	event->asked_permitted = (__u64)asked[1].permitted << 32 | asked[0].permitted;
	event->asked_inheritable = (__u64)asked[1].inheritable << 32 | asked[0].inheritable;
}

static __always_inline cap_t lost_caps(struct rights_change *change)
{
	return (change->old.effective & ~change->new.effective) | (change->old.permitted & ~change->new.permitted);
}

static __noinline int tell_capset(struct call *call, struct task_struct *task, struct rights_change *change)
{
	struct privilege_capset event = {};

	if (!begin_change(&event.header, privilege_capset_kind, ring_of_change(change), task, change->old.euid))
		return nothing();
	event.change = *change;
	fill_asked_caps(&event, call);
	if (change->old.uid != -1) {
		event.gained = gained_caps(change);
		event.lost = lost_caps(change);
	}
	event.tid = task->pid;
	event.error = error_of(call->result);
	submit(ring_of_change(change), &event.header, sizeof(event));
	return nothing();
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rights_change);
} rights_scratch SEC(".maps");

/* The setuid family, the setgid family and capset(). */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_rights_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	enum gained_by by = gained_by_other;
	__u32 key = 0;
	struct rights_change *change = bpf_map_lookup_elem(&rights_scratch, &key);
	struct call call;

	if (!change || !read_call(&call, regs, result))
		return 0;
	bool known = compare_rights(change, task);

	switch (call.number) {
	case __NR_setuid:
	case __NR_setreuid:
	case __NR_setresuid:
	case __NR_setfsuid:
		by = gained_by_setuid;
		tell_ids(&call, task, change, privilege_setuid_kind);
		break;
	case __NR_capset:
		by = gained_by_capset;
		tell_capset(&call, task, change);
		break;
	default:
		tell_ids(&call, task, change, privilege_setgid_kind);
	}
	if (known)
		tell_gained(change, task, by, call.number);
	return 0;
}

/* A child begins with what its parent has; but in a user namespace of its own, with all capabilities there. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork_rights, struct task_struct *parent, struct task_struct *child)
{
	struct rights_change change;

	if (child->flags & PF_KTHREAD || !are_rights_wanted())
		return 0;
	learn_rights(child);
	fill_new_rights(&change.new, child);
	fill_new_rights(&change.old, parent);
	if (change.new.user_ns != change.old.user_ns)
		tell_gained(&change, child, gained_by_user_namespace, NO_CALL);
	return 0;
}

static __always_inline enum gained_by gained_by_exec(struct rights_change *change, struct linux_binprm *bprm)
{
	if (change->new.euid != change->old.euid && BPF_CORE_READ(bprm, file, f_inode, i_mode) & S_ISUID)
		return gained_by_exec_setuid;
	return change->new.euid && change->new.uid ? gained_by_exec_file_caps : gained_by_exec_root;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec_rights, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct rights_change change;

	if (are_rights_wanted() && compare_rights(&change, task))
		tell_gained(&change, task, gained_by_exec(&change, bprm), NO_CALL);
	return 0;
}

/* Options that change what a process may become; of PR_CAP_AMBIENT not the mere question. */
static __always_inline bool is_prctl_told(struct call *call)
{
	switch ((__u32)call->args[0]) {
	case PR_SET_DUMPABLE:
	case PR_SET_KEEPCAPS:
	case PR_SET_SECUREBITS:
	case PR_SET_NO_NEW_PRIVS:
		return true;
	case PR_CAP_AMBIENT:
		return call->args[1] != PR_CAP_AMBIENT_IS_SET;
	default:
		return false;
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_prctl_call, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct privilege_prctl event = {};
	struct call call;

	if (!read_call(&call, regs, result) || !is_prctl_told(&call))
		return 0;
	if (!begin_event(&event.header, privilege_prctl_kind, activity_ring, task))
		return 0;
	event.option = call.args[0];
	event.value = call.args[1];
	event.securebits = event.option == PR_SET_SECUREBITS ? call.args[1] : 0;
	event.ambient = event.option == PR_CAP_AMBIENT ? call.args[1] : 0;
	event.capability = event.ambient && event.ambient != PR_CAP_AMBIENT_CLEAR_ALL ? call.args[2] : -1;
	event.tid = task->pid;
	event.error = error_of(call.result);
	submit(activity_ring, &event.header, sizeof(event));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
