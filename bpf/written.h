/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is written to a file through one open file description: told when it begins, and as a sum when the
 * description is closed for good. Between the two the sum is in a map, by the address of its struct file.
 *
 * Addresses are used again. Where the kernel's own end of a file is seen, its entry goes with it; an entry that names
 * another inode or directory entry than the file at that address has is somebody else's, and a new one begins.
 */
#ifndef PODWITNESS_WRITTEN_H
#define PODWITNESS_WRITTEN_H

#define TEXT_BYTES 4608 /* one path, followed by room for what is cut off */
#include "stored.h"

#define WRITTEN_FILES 16384 /* the least recently written go first */

enum write_phase { first_write = 1, all_written };

SAMPLE(file_write)
{
	struct header header;
	struct object object;
	total_t bytes;
	total_t writes;
	total_t duration;
	total_t size;
	errno_t error;
	call_t call;
	write_phase_t phase;
	writer_t writer;
	str_len_t path;
	cut_t path_cut;
	__u8 pad[3];
};

struct written {
	__u64 inode, dentry; /* addresses: whether it is this file */
	boot_ns_t began;
	__u64 bytes, writes;
	tgid_t writer;
	__u32 told, refused; /* once each */
	tgid_t closer;	     /* a process that exits, and how many of its descriptors were this file's */
	__u32 closing;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WRITTEN_FILES);
	__type(key, __u64);
	__type(value, struct written);
} written SEC(".maps");

/* Tracepoints and the ends of calls are not preempted, so they share one. */
SCRATCH(write_text);

/* What is known of an open file; NULL where nothing is. */
static __always_inline struct written *written_to(struct file *file)
{
	__u64 key = (__u64)file;
	struct written *known = bpf_map_lookup_elem(&written, &key);

	if (!known)
		return NULL;
	if (known->inode == (__u64)BPF_CORE_READ(file, f_inode) &&
	    known->dentry == (__u64)BPF_CORE_READ(file, f_path.dentry))
		return known;
	bpf_map_delete_elem(&written, &key);
	return NULL;
}

static __always_inline struct written *begin_writing(struct file *file, struct header *header)
{
	__u64 key = (__u64)file;
	struct written fresh = {
		.inode = (__u64)BPF_CORE_READ(file, f_inode),
		.dentry = (__u64)BPF_CORE_READ(file, f_path.dentry),
		.began = header->time,
		.writer = header->pid,
	};

	bpf_map_update_elem(&written, &key, &fresh, BPF_NOEXIST); /* another thread's may be there by now */
	return bpf_map_lookup_elem(&written, &key);
}

static __always_inline void fill_file(struct text *text, struct file_write *event, struct file *file,
				      struct task_struct *task)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	text->used = 0;
	fill_object(&event->object, inode);
	event->size = is_regular(inode) ? BPF_CORE_READ(inode, i_size) : -1;
	event->path = write_path(text, &file->f_path, task, &event->path_cut);
	__builtin_memset(event->pad, 0, sizeof(event->pad));
}

static __always_inline void send_write(struct text *text, struct file_write *event)
{
	__u32 used = text->used;

	if (used <= TEXT_BYTES && !is_path_left_out(text, 0))
		submit(activity_ring, &event->header, sizeof(*event) + used);
}

/* A write has ended: `result` bytes (0: it has changed others), or an error. Told is the first of each. */
static __always_inline void add_write(struct file *file, call_t call, __s64 result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct written *known = written_to(file);
	__u32 key = 0;
	struct text *text = bpf_map_lookup_elem(&write_text, &key);

	if (known && result >= 0) {
		__sync_fetch_and_add(&known->bytes, result);
		__sync_fetch_and_add(&known->writes, 1);
	}
	if (!text || (known && (result >= 0 ? known->told : known->refused)))
		return;
	struct file_write *event = STRUCT_OF(text, file_write);

	if (!begin_event(&event->header, file_write_kind, activity_ring, task))
		return;
	if (!known) {
		known = begin_writing(file, &event->header);
		if (known && result >= 0) {
			__sync_fetch_and_add(&known->bytes, result);
			__sync_fetch_and_add(&known->writes, 1);
		}
	}
	if (!known || __sync_lock_test_and_set(result >= 0 ? &known->told : &known->refused, 1))
		return;
	event->bytes = event->writes = event->duration = -1;
	event->error = error_of(result);
	event->call = call;
	event->phase = first_write;
	event->writer = 0;
	fill_file(text, event, file, task);
	send_write(text, event);
}

/* An open file is about to be closed for good: the sum, if anything was written. */
static __always_inline void tell_total(struct text *text, struct file *file)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct written *known = written_to(file);
	__u64 key = (__u64)file;

	if (!known)
		return;
	struct written total = *known;

	if (bpf_map_delete_elem(&written, &key) || !total.writes) /* one of two threads has it */
		return;
	struct file_write *event = STRUCT_OF(text, file_write);

	if (!begin_event(&event->header, file_write_kind, activity_ring, task))
		return;
	event->bytes = total.bytes;
	event->writes = total.writes;
	event->duration = event->header.time - total.began;
	event->error = 0;
	event->call = NO_CALL;
	event->phase = all_written;
	event->writer = total.writer == event->header.pid ? 0 : total.writer;
	fill_file(text, event, file, task);
	send_write(text, event);
}

#endif
