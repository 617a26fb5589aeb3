/* SPDX-License-Identifier: GPL-2.0-only */
/* A file as an event has it: which one, whose, and its path as the kernel knows it or as it was asked for. */
#ifndef PODWITNESS_FILE_H
#define PODWITNESS_FILE_H

#ifndef TEXT_BYTES
#define TEXT_BYTES 8704 /* two paths, each followed by room for what is cut off the second */
#endif

#include "call.h"
#include "path.h"

#define AT_FDCWD -100

struct object {
	inode_t inode;
	device_t device;
	owner_id_t owner;
	owner_id_t group;
	file_mode_t mode;
	file_type_t type;
};

static __always_inline void fill_object(struct object *object, struct inode *inode)
{
	object->inode = BPF_CORE_READ(inode, i_ino);
	object->device = BPF_CORE_READ(inode, i_sb, s_dev);
	object->owner = BPF_CORE_READ(inode, i_uid.val);
	object->group = BPF_CORE_READ(inode, i_gid.val);
	object->mode = BPF_CORE_READ(inode, i_mode);
	object->type = object->mode;
}

/* Of a call that found no file. */
static __always_inline void clear_object(struct object *object)
{
	__builtin_memset(object, 0, sizeof(*object));
	object->owner = -1;
	object->group = -1;
}

/* The file behind a descriptor of `task`; NULL where there is none. */
static __always_inline struct file *file_of(struct task_struct *task, __s32 fd)
{
	struct fdtable *table = task->files->fdt;
	struct file *file = NULL;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + fd);
	return file;
}

/* Write a string of user mode behind what is in `text`; 0 where it cannot be read. */
__noinline int put_asked(struct text *text, __u64 asked)
{
	if (!text)
		return 0;
	__u32 at = text->used;

	if (at > TEXT_BYTES - PATH_BYTES)
		return 0;
	long length = bpf_probe_read_user_str(&text->bytes[at], PATH_BYTES, (void *)asked);

	if (length <= 1 || length > PATH_BYTES)
		return 0;
	text->used = at + length - 1;
	return length - 1;
}

static __always_inline __u32 write_asked(struct text *text, const void *asked)
{
	return put_asked(text, (__u64)asked);
}

#define FOLD_BYTES 512 /* of a path as it was asked for; each byte is looked at */

/* 1 where both are the same, without a branch: in a loop each would double the ways that the verifier follows. */
static __always_inline __u64 is_same(__u64 one, __u64 other)
{
	__u64 differs = (one ^ other) - 1;

	barrier_var(differs);
	return differs >> 63;
}

/*
 * Take out of the path that begins at `from`, behind `last`, what means nothing on any way through the tree: `//` and
 * `/./`. Returns whether it may begin elsewhere than it reads: `..` goes up from where a symbolic link has led. So may
 * what is too long to be looked at.
 */
__noinline int fold_asked(struct text *text, __u32 from, __u32 last)
{
	if (!text)
		return 0;
	__u32 to = from, end = text->used;
	__u64 written = last, climbs = 0; /* the last of them in the lowest byte */

	if (end - from > FOLD_BYTES)
		return 1;
	for (__u32 i = 0; i <= FOLD_BYTES; i++) {
		__u32 at = from + i;

		barrier_var(at);
		if (at > end || at >= TEXT_BYTES)
			break;
		__u64 next = (__u8)text->bytes[at]; /* the NUL at last */
		__u64 nul = is_same(next, 0), slash = is_same(next, '/');
		__u64 dot = (nul | slash) & is_same(written & 0xffff, '/' << 8 | '.');

		climbs |= (nul | slash) & is_same(written & 0xffffff, '/' << 16 | '.' << 8 | '.');
		to -= dot;
		written >>= 8 * dot;
		barrier_var(to);
		if (to >= TEXT_BYTES)
			break;
		text->bytes[to] = next;
		__u64 kept = 1 ^ (nul | (slash & is_same(written & 0xff, '/')));

		to += kept;
		written = written << 8 * kept | next * kept;
	}
	text->used = to;
	return climbs;
}

/*
 * A path as it was asked for, in front of it the directory that it starts from: what is known where a call failed. It
 * has not been walked, so `..` and symbolic links are still in it, and the caller may have changed it since.
 */
__noinline int put_asked_path(struct text *text, __u64 asked, __s32 directory)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (!text)
		return 0;
	__u32 start = text->used;
	char first = 0;

	text->vague = 0;
	__u32 vague = bpf_probe_read_user(&first, 1, (void *)asked) != 0;

	if (first != '/') {
		struct file *file = directory == AT_FDCWD ? NULL : file_of(task, directory);
		struct path *base = file ? &file->f_path : &task->fs->pwd;
		cut_t cut;

		if (file || directory == AT_FDCWD)
			write_path(text, base, task, &cut);
		__u32 at = text->used;

		if (at > start + 1 && at < TEXT_BYTES && first) {
			text->bytes[at] = '/';
			text->used = at + 1;
		}
	}
	__u32 from = text->used;

	if (put_asked(text, asked))
		vague |= fold_asked(text, from, from > start ? '/' : 0);
	else
		vague |= first != 0;
	text->vague |= vague;
	return text->used - start;
}

static __always_inline __u32 write_asked_path(struct text *text, const void *asked, __s32 directory)
{
	return put_asked_path(text, (__u64)asked, directory);
}

#endif
