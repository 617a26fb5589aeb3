/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A change to a file or its name: what one hook sees of it before it is done, another after.
 *
 * The kernel has the path, and the old values, in its hands while the call runs (security_path_*); the call's end has
 * the result. So a noting program at the first begins the sample, in the note of its thread, and the handler at the
 * call's end completes it there and sends it. What no program has noted (the call was refused before, or this kernel
 * has no such hooks) the handler takes from the call: the path as it was asked for, or the file behind a descriptor.
 *
 * io_uring changes files without a system call that ends: then the sample is sent from the hook, with no result.
 */
#ifndef PODWITNESS_CHANGE_H
#define PODWITNESS_CHANGE_H

#include "note.h"

struct file_change {
	struct object object;
	errno_t error;
	call_t call;
	str_len_t path;
	cut_t path_cut;
	flag_t path_unresolved;
	flag_t io_uring;
	__u8 pad;
};

#define AT_EMPTY_PATH 0x1000

/* Of several paths one that the rules take in is enough. */
static __always_inline void judge_path(struct note *note, __u32 start)
{
	note->unwanted = note->unwanted && is_path_left_out(&note->text, start);
}

/*
 * The walks are functions of their own to the verifier, which looks at each once, not once for each way that leads to
 * it; such functions take kernel pointers as numbers. What was cut is in `text->cut`.
 */
__noinline __u32 walk_path(struct text *text, __u64 vfsmount, __u64 dentry)
{
	struct path path = {(void *)vfsmount, (void *)dentry};
	cut_t cut = 0;

	if (!text)
		return 0;
	__u32 length = write_path(text, &path, bpf_get_current_task_btf(), &cut);

	text->cut = cut;
	return length;
}

__noinline __u32 walk_asked(struct text *text, __u64 asked, __s32 directory)
{
	return text ? write_asked_path(text, (const char *)asked, directory) : 0;
}

/* A pointer that the verifier knows, as the number that such a function takes. */
static __always_inline __u64 number_of(const void *pointer)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

static __always_inline str_len_t note_path_of(struct note *note, struct vfsmount *mount, struct dentry *dentry,
					      cut_t *cut)
{
	__u32 start = note->text.used;
	__u32 length = walk_path(&note->text, number_of(mount), number_of(dentry));

	*cut = note->text.cut;
	judge_path(note, start);
	return length;
}

/* What is known of the change while it is being done. */
static __always_inline void note_change(struct note *note, struct file_change *change, struct vfsmount *mount,
					struct dentry *dentry, struct inode *inode)
{
	__builtin_memset(change, 0, sizeof(*change));
	if (inode)
		fill_object(&change->object, inode);
	else
		clear_object(&change->object);
	change->path = note_path_of(note, mount, dentry, &change->path_cut);
}

/* A string that is no path of ours: what a symbolic link points to, the name of an attribute. */
static __always_inline str_len_t write_string(struct text *text, const char *string, bool of_user, cut_t *cut)
{
	__u32 at = text->used;
	long length = 0;

	*cut = at > TEXT_BYTES - PATH_BYTES ? 2 : 0;
	if (*cut)
		return 0;
	if (of_user)
		length = bpf_probe_read_user_str(&text->bytes[at], PATH_BYTES, string);
	else
		length = bpf_probe_read_kernel_str(&text->bytes[at], PATH_BYTES, string);
	if (length <= 1 || length > PATH_BYTES)
		return 0;
	text->used = at + length - 1;
	return length - 1;
}

static __always_inline void send_note(struct note *note, struct header *header, __u32 bytes)
{
	__u32 used = note->text.used;

	if (used <= TEXT_BYTES && !note->unwanted)
		submit(activity_ring, header, bytes + used);
}

/* How a noting program ends: the call's end does the rest; where there is none, what is known is told. */
static __always_inline void end_note(struct note *note, enum kind kind, struct header *header,
				     struct file_change *change, __u32 bytes, struct task_struct *task)
{
	if (has_end(task))
		return;
	change->call = NO_CALL;
	change->io_uring = is_io_uring(task);
	if (begin_event(header, kind, activity_ring, task))
		send_note(note, header, bytes);
	note->owner = 0;
}

/* Of a call that was not noted: the file behind a descriptor. False where there is none. */
static __always_inline bool ask_file(struct note *note, struct file_change *change, __s32 fd, struct task_struct *task)
{
	struct file *file = file_of(task, fd);

	if (!file)
		return false;
	note_change(note, change, BPF_CORE_READ(file, f_path.mnt), BPF_CORE_READ(file, f_path.dentry),
		    BPF_CORE_READ(file, f_inode));
	return true;
}

static __always_inline str_len_t ask_path_of(struct note *note, const char *asked, __s32 directory, cut_t *cut)
{
	__u32 start = note->text.used;

	*cut = 0;
	__u32 length = walk_asked(&note->text, (__u64)asked, directory);

	judge_path(note, start);
	return length;
}

/* The same: the path as it was asked for. */
static __always_inline void ask_path(struct note *note, struct file_change *change, const char *asked, __s32 directory)
{
	__builtin_memset(change, 0, sizeof(*change));
	clear_object(&change->object);
	change->path_unresolved = 1;
	change->path = ask_path_of(note, asked, directory, &change->path_cut);
}

/* The same: a descriptor that is none. */
static __always_inline void ask_nothing(struct note *note, struct file_change *change)
{
	__builtin_memset(change, 0, sizeof(*change));
	clear_object(&change->object);
	note->unwanted = path_filter.only;
}

/* The same, of the first two arguments: with AT_EMPTY_PATH a descriptor is the file itself where the path is empty. */
static __always_inline void ask_path_or_file(struct note *note, struct file_change *change, __u64 *args, __u32 flags,
					     struct task_struct *task)
{
	const char *asked = (void *)args[1];
	char first = 1;

	if (flags & AT_EMPTY_PATH)
		bpf_probe_read_user(&first, 1, asked);
	if (first || !ask_file(note, change, args[0], task))
		ask_path(note, change, asked, args[0]);
}

/* How the handler of a call begins: with what the thread has noted, else with nothing (`known` is down). */
static __always_inline struct note *note_of_call(struct task_struct *task, enum kind kind, bool *known)
{
	struct note *note = find_note(task);
	__u32 key = 0;

	*known = note && note->kind == kind && note->call == current_call(task);
	if (*known)
		return note;
	if (note)
		note->owner = 0;
	note = bpf_map_lookup_elem(&unnoted, &key);
	if (note) {
		note->unwanted = true;
		note->text.used = 0;
	}
	return note;
}

/*
 * The handler of the calls of a kind. `ask` takes from the call what was not noted, `finish` has the last word on what
 * both give; a call that is to be done again only gives its place back.
 */
#define HANDLER(name, type, ask, finish)                                                                               \
	SEC("tp_btf/sys_exit")                                                                                         \
	int BPF_PROG(name, struct pt_regs *regs, long result)                                                          \
	{                                                                                                              \
		struct task_struct *task = bpf_get_current_task_btf();                                                 \
		bool known;                                                                                            \
		struct note *note = note_of_call(task, type##_kind, &known);                                           \
		struct call call;                                                                                      \
                                                                                                                       \
		if (!note)                                                                                             \
			return 0;                                                                                      \
		struct type *event = STRUCT_OF(&note->text, type);                                                     \
                                                                                                                       \
		if (read_call(&call, regs, result) && begin_event(&event->header, type##_kind, activity_ring, task)) { \
			if (!known)                                                                                    \
				ask(note, event, &call, task);                                                         \
			event->change.error = error_of(call.result);                                                   \
			event->change.call = call.number;                                                              \
			finish(event, &call, known);                                                                   \
			send_note(note, &event->header, sizeof(*event));                                               \
		}                                                                                                      \
		note->owner = 0;                                                                                       \
		return 0;                                                                                              \
	}

#endif
