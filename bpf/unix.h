/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections to sockets of this machine that are worth watching: who gets to one of a container runtime is root.
 *
 * Which one it is says the socket that answers: the path it was bound at, through whatever symbolic link or mount it
 * was reached. Only where nobody answered it is the path that was asked for.
 */
#ifndef PODWITNESS_UNIX_H
#define PODWITNESS_UNIX_H

#include "socket.h"

#define WATCHED 32
#define WATCHED_WORDS 16 /* a path of a socket has 108 bytes at most, if it is not relative */
#define WATCHED_BYTES (8 * WATCHED_WORDS)
#define UNIX_PATH_BYTES 108 /* UNIX_PATH_MAX, include/uapi/linux/un.h */
#define FAMILY_BYTES 2

SAMPLE(network_unix_connect)
{
	struct header header;
	inode_t socket;
	errno_t error;
	str_len_t path;
	transport_t transport;
	cut_t path_cut;
	flag_t path_unresolved;
	direction_t direction;
	__u8 pad[3];
};

/* The end of a path, at the end of `text`; `mask` has the bits of what is compared. */
struct watched {
	__u64 text[WATCHED_WORDS];
	__u64 mask[WATCHED_WORDS];
	__u32 length; /* of the whole path, 0: any */
	__u32 used;
};

const volatile struct watched watched[WATCHED];

SCRATCHES(unix_text, scratches);

static __always_inline bool matches(const volatile struct watched *sought, const __u64 *tail, __u32 length)
{
	__u64 difference = 0;

	for (int i = 0; i < WATCHED_WORDS; i++)
		difference |= (tail[i] ^ sought->text[i]) & sought->mask[i];
	return !difference && (!sought->length || sought->length == length);
}

/* Whether the path of `length` bytes in `text` is one of those to watch. */
static __noinline bool is_watched(struct text *text, __u32 length)
{
	__u64 tail[WATCHED_WORDS];

	/* In front of a shorter path is what the sample's struct has there: no mask covers it. */
	if (length > TEXT_BYTES || bpf_probe_read_kernel(tail, sizeof(tail), text->bytes + length - WATCHED_BYTES))
		return false;
	for (int i = 0; i < WATCHED; i++) {
		if (!watched[i].used)
			return false;
		if (matches(&watched[i], tail, length))
			return true;
	}
	return false;
}

/* The path that the socket at the other end is bound at. An abstract one begins with NUL: told as @name. */
static __always_inline void write_bound(struct text *text, struct network_unix_connect *event, struct sock *sk,
					struct task_struct *task)
{
	struct unix_sock *unix = (void *)sk, *peer = (void *)BPF_CORE_READ(unix, peer);
	struct unix_address *address = BPF_CORE_READ(peer, addr);
	struct path *path = (void *)peer + bpf_core_field_offset(struct unix_sock, path);
	__u32 length = BPF_CORE_READ(address, len) - FAMILY_BYTES;
	const char *name = (void *)address + bpf_core_type_size(struct unix_address) + FAMILY_BYTES;

	if (BPF_CORE_READ(path, dentry)) {
		event->path = write_path(text, path, task, &event->path_cut);
		return;
	}
	/* The other end is closed already, or has never had a path. */
	if (!address || length > UNIX_PATH_BYTES || bpf_probe_read_kernel(text->bytes, length, name))
		return;
	event->path_unresolved = text->bytes[0] != 0;
	if (!text->bytes[0])
		text->bytes[0] = '@';
	event->path = text->used = length;
}

/*
 * A path as it was asked for, out of the kernel's own copy; a relative one starts from the working directory. Not
 * beyond its length: where it was refused nothing ends it.
 */
static __always_inline void write_copied_path(struct text *text, const char *name, __u32 length, char first)
{
	__u32 at;

	if (first != '/') {
		write_asked_path(text, NULL, AT_FDCWD);
		at = text->used;
		if (at >= TEXT_BYTES)
			return;
		barrier_var(at); /* else both bounds become one, of another register */
		if (at > 1) {
			text->bytes[at] = '/';
			text->used = at + 1;
		}
	}
	at = text->used;
	barrier_var(length);
	if (at > TEXT_BYTES - PATH_BYTES || length > UNIX_PATH_BYTES)
		return;
	long written = bpf_probe_read_kernel_str(&text->bytes[at], length + 1, name);

	if (written > 1 && written <= UNIX_PATH_BYTES + 1)
		text->used = at + written - 1;
}

static __always_inline void write_asked_name(struct text *text, struct network_unix_connect *event, struct call *call,
					     bool in_kernel)
{
	const char *name = (void *)call->args[1] + FAMILY_BYTES;
	__u32 length = call->args[2] - FAMILY_BYTES;
	char first = 0;

	event->path_unresolved = 1;
	if (in_kernel)
		bpf_probe_read_kernel(&first, 1, name);
	else
		bpf_probe_read_user(&first, 1, name);
	if (first) {
		if (in_kernel)
			write_copied_path(text, name, length, first);
		else
			write_asked_path(text, name, AT_FDCWD);
		event->path = text->used;
		return;
	}
	barrier_var(length);
	if (length > UNIX_PATH_BYTES)
		return;
	if (in_kernel ? bpf_probe_read_kernel(text->bytes, length, name)
		      : bpf_probe_read_user(text->bytes, length, name))
		return;
	text->bytes[0] = '@';
	event->path = text->used = length;
}

/* Not static, with a number for a pointer: so the verifier looks at it once. */
__noinline int tell_unix_connect(__u64 socket, struct call *call, __u32 in_kernel)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct sock *sk = (void *)socket;
	__u32 key = in_kernel ? note_scratch : call_scratch;
	struct text *text = bpf_map_lookup_elem(&unix_text, &key);

	if (!text || !call)
		return 0;
	struct network_unix_connect *event = STRUCT_OF(text, network_unix_connect);

	if (!begin_event(&event->header, network_unix_connect_kind, activity_ring, task))
		return 0;
	text->used = 0;
	event->socket = inode_of(sk);
	event->error = error_of(call->result);
	event->transport = UNIX_TRANSPORT;
	event->path = 0;
	event->path_cut = event->path_unresolved = 0;
	event->direction = outbound;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	if (event->error)
		write_asked_name(text, event, call, in_kernel);
	else
		write_bound(text, event, sk, task);
	__u32 used = text->used;

	if (!used || used > TEXT_BYTES || !is_watched(text, used))
		return 0;
	barrier_var(used); /* the bound must be on the register that is the size */
	if (used <= TEXT_BYTES)
		submit(activity_ring, &event->header, sizeof(*event) + used);
	return 0;
}

#endif
