/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Places of mounts: where the kernel's security hooks can be had, they are noted there, by the paths that the kernel
 * itself goes by, and told with the result at the end of the call. Before the hook, and without it, a place is what was
 * asked for.
 */
#ifndef PODWITNESS_MOUNTS_H
#define PODWITNESS_MOUNTS_H

#define TEXT_BYTES 12544 /* a path as it was asked for, and two strings behind it */
#include "file.h"

#define NOTES 32 /* calls under way at once; with more, the first ones are told as they were asked for */

/* By thread, what its call is about: a sample whose header and result are still missing. `pad` of it is its kind. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NOTES);
	__type(key, __u64);
	__type(value, struct text);
} notes SEC(".maps");

SCRATCHES(mount_text, scratches);

static __always_inline struct text *scratch_text(enum scratch which)
{
	__u32 key = which;
	struct text *text = bpf_map_lookup_elem(&mount_text, &key);

	if (text)
		text->used = 0;
	return text;
}

static __always_inline void keep_note(struct text *text, enum kind kind)
{
	__u64 thread = bpf_get_current_pid_tgid();

	text->pad = kind;
	bpf_map_update_elem(&notes, &thread, text, 0);
}

/* What was noted in this call; whoever takes it lets it go by drop_note(). */
static __always_inline struct text *note_of(enum kind kind)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct text *text = bpf_map_lookup_elem(&notes, &thread);

	return text && text->pad == kind ? text : NULL;
}

static __always_inline void drop_note(void)
{
	__u64 thread = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&notes, &thread);
}

/* Write a string of the kernel's behind what is in `text`; 0 where there is none. */
static __noinline __u32 write_known(struct text *text, const char *known)
{
	__u32 at = text->used;

	if (at > TEXT_BYTES - PATH_BYTES)
		return 0;
	long length = bpf_probe_read_kernel_str(&text->bytes[at], PATH_BYTES, known);

	if (length <= 1 || length > PATH_BYTES)
		return 0;
	text->used = at + length - 1;
	return length - 1;
}

static __always_inline __u32 write_source(struct text *text, struct vfsmount *mount)
{
	struct mount *whole = (void *)mount - bpf_core_field_offset(struct mount, mnt);

	return write_known(text, BPF_CORE_READ(whole, mnt_devname));
}

static __always_inline __u32 write_type(struct text *text, struct vfsmount *mount)
{
	return write_known(text, BPF_CORE_READ(mount, mnt_sb, s_type, name));
}

static __always_inline void send_mount(struct text *text, struct header *header, __u32 bytes, errno_t error)
{
	__u32 used = text->used;

	if (used <= TEXT_BYTES)
		submit(ring_of(error), header, bytes + used);
}

#endif
