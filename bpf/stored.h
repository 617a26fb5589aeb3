/* SPDX-License-Identifier: GPL-2.0-only */
/* Files that hold data: regular ones and block devices, no switches of the kernel's. */
#ifndef PODWITNESS_STORED_H
#define PODWITNESS_STORED_H

#include "file.h"

#define S_IFMT 0170000
#define S_IFREG 0100000
#define S_IFBLK 0060000

static __always_inline bool is_regular(struct inode *inode)
{
	return (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFREG;
}

static __always_inline bool is_stored(struct inode *inode)
{
	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFBLK)
		return true;
	if (!is_regular(inode))
		return false;
	/* File systems whose files are the kernel's own switches (include/uapi/linux/magic.h). */
	switch (BPF_CORE_READ(inode, i_sb, s_magic)) {
	case 0x9fa0:	 /* proc */
	case 0x62656572: /* sysfs */
	case 0x27e0eb:	 /* cgroup */
	case 0x63677270: /* cgroup2 */
	case 0x64626720: /* debugfs */
	case 0x74726163: /* tracefs */
	case 0x73636673: /* securityfs */
	case 0xf97cff8c: /* selinuxfs */
		return false;
	}
	return true;
}

#endif
