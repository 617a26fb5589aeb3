/* SPDX-License-Identifier: GPL-2.0-only */
/* Names by which the kernel calls its own: files that have no path (a BPF program, a perf event), and others. */
#ifndef PODWITNESS_ANONYMOUS_H
#define PODWITNESS_ANONYMOUS_H

#include "file.h"

#define ANON_INODE_FS_MAGIC 0x09041934

union anonymous_name {
	char text[16]; /* the longest one and its NUL */
	__u64 words[2];
};

static __always_inline bool is_name(const void *name, union anonymous_name sought)
{
	union anonymous_name found = {};

	bpf_probe_read_kernel_str(found.text, sizeof(found.text), name);
	return found.words[0] == sought.words[0] && found.words[1] == sought.words[1];
}

#define IS_NAME(name, sought) is_name(name, (union anonymous_name){.text = sought})

/*
 * Whether `file` is one that the kernel made under this name. A call that is refused can have been given any
 * descriptor: what lies behind another sort of file must not be read as if it was this one.
 */
static __always_inline bool is_anonymous(struct file *file, union anonymous_name name)
{
	if (!file || BPF_CORE_READ(file, f_inode, i_sb, s_magic) != ANON_INODE_FS_MAGIC)
		return false;
	return is_name(BPF_CORE_READ(file, f_path.dentry, d_name.name), name);
}

#define IS_ANONYMOUS(file, name) is_anonymous(file, (union anonymous_name){.text = name})

#endif
