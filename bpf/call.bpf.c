// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of every system call: handed on to the program that stands under its number, if one does.
 *
 * One program at the raw tracepoint costs less than one at each call's own: the kernel takes the same slow way out of
 * all calls as soon as a single one is traced, and a look into a constant table is all that is added to the others.
 */
#include "call.h"

SEC("tp_btf/sys_exit")
int BPF_PROG(on_call, struct pt_regs *regs, long result)
{
	__u32 number = call_number(regs, is_compat());

	if (number < CALLS)
		bpf_tail_call(ctx, &calls, number);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
