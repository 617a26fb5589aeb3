/* SPDX-License-Identifier: GPL-2.0-only */
/* Where setns() goes: what its descriptor is of. */
#ifndef PODWITNESS_SETNS_H
#define PODWITNESS_SETNS_H

#include "anonymous.h"
#include "namespaces.h"

#define NSFS_MAGIC 0x6e736673
#define PID_FS_MAGIC 0x50494446 /* 6.9: before that a pidfd was an anonymous file */

static __always_inline __u32 type_of(struct ns_common *ns)
{
	struct ns_common___typed *typed = (void *)ns;

	if (bpf_core_field_exists(typed->ns_type))
		return BPF_CORE_READ(typed, ns_type);
	return BPF_CORE_READ(ns, ops, type);
}

/* Where setns() goes, by its descriptor when the call is over: another thread can have put something else there. */
struct destination {
	other_ns_t asked;
	other_tgid_t target;
	namespace_types_t asked_types;
	boot_ns_t time; /* both events of a call have the same */
};

/* Returns the types. */
static __always_inline __u32 find_destination(struct destination *found, struct file *file, __u32 asked)
{
	__u64 magic = BPF_CORE_READ(file, f_inode, i_sb, s_magic);
	struct pid *pid = NULL;

	if (magic == NSFS_MAGIC) {
		struct ns_common *ns = BPF_CORE_READ(file, f_inode, i_private);

		found->asked = BPF_CORE_READ(ns, inum);
		return type_of(ns);
	}
	if (magic == PID_FS_MAGIC)
		pid = BPF_CORE_READ(file, f_inode, i_private);
	else if (IS_ANONYMOUS(file, "[pidfd]"))
		pid = BPF_CORE_READ(file, private_data);
	found->target = BPF_CORE_READ(pid, numbers[0].nr);
	return asked & ALL_TYPES;
}

#endif
