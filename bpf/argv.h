/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The arguments of a program, out of the memory of its process: as they lie there when it has begun, and as they were
 * asked for when it could not.
 */
#ifndef PODWITNESS_ARGV_H
#define PODWITNESS_ARGV_H

#ifndef TEXT_BYTES
#define TEXT_BYTES 28928 /* strings of one sample: three paths and 16 KiB; a per-CPU value holds 32 KiB at most */
#endif

#include "path.h"

#define ARGS_BYTES 16384 /* of argv that one sample carries */
#define ARGS_CHUNK 4096	 /* read at a time, so that one absent page loses no more than its chunk */
#define ARGS_MOST 512	 /* reads of an argv that is an array of addresses; the verifier goes through each */

/* Whether any sink keeps what would be gathered. */
const volatile bool gather_args = true;
const volatile bool gather_cwd = true;

/* argv as the kernel laid it out for the new program, which has not run yet: nobody can have changed it. */
static __noinline __attribute__((unused)) __u32 write_args(struct text *text, __u64 from, __u64 length)
{
	__u32 start = text->used;

	for (int i = 0; i < ARGS_BYTES / ARGS_CHUNK; i++) {
		__u64 at = text->used, done = i * ARGS_CHUNK;

		if (done >= length)
			break;
		__u64 bytes = length - done;

		if (bytes > ARGS_CHUNK)
			bytes = ARGS_CHUNK;
		/* The verifier of 6.1 wants the bound on the very register that is the size. */
		barrier_var(bytes);
		if (bytes > ARGS_CHUNK || at > TEXT_BYTES - ARGS_CHUNK)
			break;
		if (bpf_probe_read_user(&text->bytes[at], bytes, (void *)(from + done)))
			break;
		text->used = at + bytes;
	}
	return text->used - start;
}

/*
 * An argv that was asked for: where the array is, and what was found in it. It belongs into a map: of what is on the
 * stack the verifier follows each value through each round of the loop, a million instructions long.
 */
struct asked_args {
	__u64 next;	     /* address of the next entry of the array */
	__u64 from;	     /* what is left of the argument that is being read */
	__u32 count;	     /* arguments seen */
	__u32 address_bytes; /* of each entry: 8, from a 32-bit caller 4 */
	bool missing;	     /* something of the arguments is not in the sample */
	bool ended;	     /* `count` is all there are */
};

/* The next entry of the array: false at its end. */
static __always_inline bool next_asked(struct asked_args *args)
{
	__u32 bytes = args->address_bytes;

	args->from = 0;
	if (bytes > sizeof(args->from) || bpf_probe_read_user(&args->from, bytes, (void *)args->next))
		return false;
	args->next += bytes;
	args->ended = !args->from;
	args->count += !args->ended;
	return !args->ended;
}

/*
 * argv of a call, NUL after each argument, in memory that its caller can change at any time. What is not in memory just
 * now cannot be read here: it leaves an empty argument.
 */
static __noinline __attribute__((unused)) __u32 write_asked_args(struct text *text, struct asked_args *args)
{
	__u32 start = text->used;

	for (int i = 0; i < ARGS_MOST; i++) {
		__u32 at = text->used;

		if (!args->from && !next_asked(args))
			break;
		if (at - start >= ARGS_BYTES || at > TEXT_BYTES - ARGS_CHUNK) {
			args->missing = true;
			args->from = 0;
			continue;
		}
		long length = bpf_probe_read_user_str(&text->bytes[at], ARGS_CHUNK, (void *)args->from);

		if (length <= 0 || length > ARGS_CHUNK) {
			args->missing = true;
			text->bytes[at] = 0;
			length = 1;
		}
		/* One that fills its chunk goes on in the next, over the NUL. */
		args->from = length == ARGS_CHUNK ? args->from + ARGS_CHUNK - 1 : 0;
		text->used = at + length - (length == ARGS_CHUNK);
	}
	args->missing |= !args->ended;
	if (text->used - start > ARGS_BYTES)
		text->used = start + ARGS_BYTES;
	return text->used - start;
}

#endif
