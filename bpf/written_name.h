/* SPDX-License-Identifier: GPL-2.0-only */
/* Short strings behind a sample's struct, of the kernel and of user mode. */
#ifndef PODWITNESS_WRITTEN_NAME_H
#define PODWITNESS_WRITTEN_NAME_H

#include "path.h"

/* Write a name of the kernel's, at most NAME_BYTES of it, behind what is in `text`; returns its length. */
static __attribute__((unused)) __noinline __u32 write_name(struct text *text, const char *name)
{
	__u32 at = text->used;

	if (at > TEXT_BYTES - NAME_BYTES)
		return 0;
	long length = bpf_probe_read_kernel_str(&text->bytes[at], NAME_BYTES, name);

	if (length <= 1 || length > NAME_BYTES)
		return 0;
	text->used = at + length - 1;
	return length - 1;
}

/* The same with a name of user mode, of which the kernel itself looks at `bytes`, the NUL included. */
static __attribute__((unused)) __noinline __u32 write_asked_name(struct text *text, const char *asked, __u32 bytes)
{
	__u32 at = text->used;

	if (bytes > NAME_BYTES || at > TEXT_BYTES - NAME_BYTES)
		return 0;
	long length = bpf_probe_read_user_str(&text->bytes[at], bytes, asked);

	if (length <= 1 || length > NAME_BYTES)
		return 0;
	text->used = at + length - 1;
	return length - 1;
}

#endif
