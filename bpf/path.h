/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names out of the kernel's own trees (mounts and dentries, cgroups), written as text behind a sample's struct.
 *
 * Both trees are walked from the leaf up, so the walk first notes the names' addresses, then writes them from the root
 * down: no second buffer, no copying back and forth, and each loop is short for the verifier.
 */
#ifndef PODWITNESS_PATH_H
#define PODWITNESS_PATH_H

#include "event.h"

#define PATH_NAMES                                                                                                     \
	64 /* levels of one path, a power of two; deeper ones lose the part nearest the root, and are marked */
#define PATH_BYTES 4096 /* PATH_MAX */
#define NAME_BYTES 256	/* NAME_MAX and the NUL */
#ifndef TEXT_BYTES
#define TEXT_BYTES 28928 /* strings of one sample: three paths and 16 KiB; a per-CPU value holds 32 KiB at most */
#endif
#define STRUCT_BYTES 512 /* the largest struct in front of them */

/* A sample under construction: its struct ends where `bytes` begins, so that both go out as one piece. */
struct text {
	const char *names[PATH_NAMES];
	__u32 depth;
	__u32 used;
	__u32 cut;
	__u32 pad;
	__u32 vague; /* the path just written is not known well enough for rules to leave it out */
	__u64 from;  /* addresses, for put_path: the struct path to write, and the one it is seen from */
	__u64 root;
	struct text_prefix sought;
	char front[STRUCT_BYTES];
	char bytes[TEXT_BYTES];
};

/*
 * Where a sample is made, one on each CPU, for one program: those at functions can be preempted, so that another
 * program runs in between.
 */
#define SCRATCHES(map, entries)                                                                                        \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                                               \
		__uint(max_entries, entries);                                                                          \
		__type(key, __u32);                                                                                    \
		__type(value, struct text);                                                                            \
	} map SEC(".maps")
#define SCRATCH(map) SCRATCHES(map, 1)

/* Where functions and the ends of calls make the same sample: the former can be preempted, the latter cannot. */
enum scratch { note_scratch, call_scratch, scratches };

#define STRUCT_OF(text, type) ((struct type *)((text)->bytes - sizeof(struct type)))

/*
 * Functions that are not static the verifier looks at once for each program, not at each place where they are called:
 * with the walk of a path that is most of what loading a program takes. They know nothing of who calls them, so the
 * text can be NULL to them, and a pointer is handed over inside it.
 */

/* Write the noted names from the root down as /a/b/c; returns the number of bytes. */
__noinline int put_names(struct text *text)
{
	if (!text)
		return 0;
	__u32 start = text->used;

	if (text->depth == 0 && start < TEXT_BYTES) {
		text->bytes[start] = '/';
		text->used = start + 1;
		return 1;
	}
	for (int i = 0; i < PATH_NAMES; i++) {
		__u32 at = text->used, index = text->depth - 1 - i;

		if (index >= PATH_NAMES)
			break;
		if (at > TEXT_BYTES - NAME_BYTES - 1 || at - start > PATH_BYTES - NAME_BYTES - 1) {
			text->cut = 2;
			break;
		}
		/* The compiler knows the index is small and would drop the mask by which the verifier knows it too. */
		barrier_var(index);
		text->bytes[at] = '/';
		long length = bpf_probe_read_kernel_str(&text->bytes[at + 1], NAME_BYTES,
							text->names[index & (PATH_NAMES - 1)]);

		if (length > 0 && length <= NAME_BYTES)
			text->used = at + length; /* the slash comes, the NUL goes */
	}
	return text->used - start;
}

/* What a walk reads of each name on its way. */
struct named {
	struct dentry *parent;
	__u64 hash;
	const char *name;
};

/* One read instead of two, where they lie as they always did: an open that the rules leave out costs little but this.
 */
static __always_inline void read_named(struct named *named, struct dentry *dentry)
{
	__u32 at = bpf_core_field_offset(struct dentry, d_parent);

	if (bpf_core_field_offset(struct dentry, d_name.name) - at == __builtin_offsetof(struct named, name)) {
		bpf_probe_read_kernel(named, sizeof(*named), (void *)dentry + at);
		return;
	}
	named->parent = BPF_CORE_READ(dentry, d_parent);
	named->name = (const char *)BPF_CORE_READ(dentry, d_name.name);
}

/* Note the names of the path at `from` up to the one at `root`, through the mounts between them; 1 if it has too many.
 */
__noinline int note_path(struct text *text)
{
	if (!text)
		return 0;
	struct path *path = (void *)text->from, *root = (void *)text->root;
	struct dentry *dentry = BPF_CORE_READ(path, dentry), *root_dentry = BPF_CORE_READ(root, dentry);
	struct vfsmount *vfsmount = BPF_CORE_READ(path, mnt), *root_vfsmount = BPF_CORE_READ(root, mnt);

	struct dentry *top = BPF_CORE_READ(vfsmount, mnt_root);
	struct named named = {};

	text->depth = 0;
	for (int i = 0; i < 2 * PATH_NAMES; i++) {
		if (dentry == root_dentry && vfsmount == root_vfsmount)
			return 0;
		read_named(&named, dentry);
		if (dentry == top || dentry == named.parent) {
			struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
			struct mount *above = BPF_CORE_READ(mount, mnt_parent);

			if (above == mount || !above) {
				/* The top of its mount tree. A file without a directory (memfd) has but its name. */
				if (text->depth == 0 && dentry != top) {
					text->names[0] = named.name;
					text->depth = 1;
				}
				return 0;
			}
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			vfsmount = (void *)above + bpf_core_field_offset(struct mount, mnt);
			top = BPF_CORE_READ(vfsmount, mnt_root);
			continue;
		}
		__u32 depth = text->depth;

		if (depth >= PATH_NAMES)
			break;
		text->names[depth] = named.name;
		text->depth = depth + 1;
		dentry = named.parent;
	}
	return 1;
}

/* Note the names of a cgroup up to the root of its hierarchy, whose own name is empty. */
static __noinline void note_cgroup(struct text *text, struct task_struct *task)
{
	struct kernfs_node *node = cgroup_node(task);

	text->depth = 0;
	text->cut = 0;
	for (int i = 0; i < PATH_NAMES; i++) {
		struct kernfs_node *parent = kernfs_parent(node);
		__u32 depth = text->depth;

		if (!parent || depth >= PATH_NAMES)
			return;
		text->names[depth] = BPF_CORE_READ(node, name);
		text->depth = depth + 1;
		node = parent;
	}
	text->cut = 1;
}

/* `path` as text, seen from the root directory of `task`; returns its length, and what was cut in `cut`. */
static __always_inline __u32 write_path(struct text *text, struct path *path, struct task_struct *task, cut_t *cut)
{
	struct fs_struct *fs = BPF_CORE_READ(task, fs);

	text->from = (__u64)path;
	text->root = (__u64)&fs->root;
	__u32 walked_cut = note_path(text);

	text->cut = 0;
	text->vague = walked_cut; /* what it begins with is not there */
	__u32 length = put_names(text);

	*cut = text->cut == 2 ? 2 : walked_cut;
	return length;
}

static __always_inline __u32 write_cgroup(struct text *text, struct task_struct *task, cut_t *cut)
{
	note_cgroup(text, task);
	__u32 walked_cut = text->cut;
	__u32 length = put_names(text);

	*cut = text->cut == 2 ? 2 : walked_cut;
	return length;
}

enum path_of { a_file, a_program, a_foreign_program };

/*
 * Whether the rules on paths, or on programs, leave out the last string of the text, which begins at `start`: the
 * longest rule that it begins with decides. A rule for one file alone has the NUL in it. Static: 6.1 takes no key of a
 * map from memory that it does not know for a map's.
 */
static __noinline bool is_text_left_out(struct text *text, __u32 start, enum path_of what)
{
	const volatile struct rules *filter = what == a_file ? &path_filter : &binary_filter;
	__u32 end = text->used;

	if (start > TEXT_BYTES - PREFIX_BYTES || end >= TEXT_BYTES)
		return false;
	barrier_var(end); /* else it is a copy that 6.1 knows the bounds of */
	__u32 length = end - start + 1;

	text->bytes[end] = 0; /* no rule goes on behind it: what an earlier path left there is no part of it */
	if (length > PREFIX_BYTES)
		length = PREFIX_BYTES;
	text->sought.bits = PREFIX_BYTES * 8;
	barrier_var(length);
	if (length <= PREFIX_BYTES)
		bpf_probe_read_kernel(text->sought.text, length, &text->bytes[start]);
	__u8 *verdict = what == a_file ? bpf_map_lookup_elem(&path_rules, &text->sought)
				       : bpf_map_lookup_elem(&binary_rules, &text->sought);

	if (what == a_foreign_program)
		return !verdict && filter->only;
	return is_left_out(filter, verdict);
}

static __always_inline bool is_path_left_out(struct text *text, __u32 start)
{
	if (!path_filter.some)
		return false;
	if (text->vague) {
		text->vague = 0;
		return false;
	}
	return is_text_left_out(text, start, a_file);
}

/* Whether a task sees the same files as the machine's init: level 0 of every pid is the first pid namespace. */
static __always_inline bool is_at_home(struct task_struct *task)
{
	struct task_struct *init = BPF_CORE_READ(task, thread_pid, numbers[0].ns, child_reaper);

	return BPF_CORE_READ(task, nsproxy, mnt_ns) == BPF_CORE_READ(init, nsproxy, mnt_ns) &&
	       BPF_CORE_READ(task, fs, root.dentry) == BPF_CORE_READ(init, fs, root.dentry) &&
	       BPF_CORE_READ(task, fs, root.mnt) == BPF_CORE_READ(init, fs, root.mnt);
}

/*
 * Remember what the rules say of the program whose path is the text's only string so far. With a root directory or
 * mounts of one's own any program can have any path: by its path none is left out there that a rule names.
 */
static __always_inline void judge_image(struct header *header, struct text *text, struct task_struct *task)
{
	struct image_key key = image_key_of(header);
	__u8 verdict = left_out;

	if (binary_filter.some && is_text_left_out(text, 0, is_at_home(task) ? a_program : a_foreign_program))
		bpf_map_update_elem(&image_rules, &key, &verdict, 0);
}

#endif
