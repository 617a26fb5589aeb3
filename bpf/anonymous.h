/* SPDX-License-Identifier: GPL-2.0-only */
/* Files that have no path: what a descriptor of a BPF program, a perf event or a process really is. */
#ifndef PODWITNESS_ANONYMOUS_H
#define PODWITNESS_ANONYMOUS_H

#include "file.h"

#define ANON_INODE_FS_MAGIC 0x09041934

union anonymous_name {
	char text[16]; /* the longest one and its NUL */
	__u64 words[2];
};

/*
 * Whether `file` is one that the kernel made under this name. A call that is refused can have been given any
 * descriptor: what lies behind another sort of file must not be read as if it was this one.
 */
static __always_inline bool is_anonymous(struct file *file, union anonymous_name name)
{
	union anonymous_name found = {};

	if (!file || BPF_CORE_READ(file, f_inode, i_sb, s_magic) != ANON_INODE_FS_MAGIC)
		return false;
	bpf_probe_read_kernel_str(found.text, sizeof(found.text), BPF_CORE_READ(file, f_path.dentry, d_name.name));
	return found.words[0] == name.words[0] && found.words[1] == name.words[1];
}

#define IS_ANONYMOUS(file, name) is_anonymous(file, (union anonymous_name){.text = name})

#endif
