// SPDX-License-Identifier: GPL-2.0-only
/*
 * The layout of a synthetic activity record: a file open. Never loaded; the benchmark writes rings of it to measure
 * what an event of a known process costs, which is what most events of a busy node are.
 */
#include "event.h"

SAMPLE(bench_open)
{
	struct header header;
	__u64 inode;
	__u64 size;
	__u32 mode;
	__u32 flags;
	__u32 device;
	__u32 owner;
	__u32 group;
	__s32 result;
	__u32 fd;
	__u32 links;
	__u32 block;
	__u32 generation;
	__u32 mount;
	__u32 pad;
};

enum bench_kinds { bench_open_kind = 200 };
const enum bench_kinds *bench_kinds;
