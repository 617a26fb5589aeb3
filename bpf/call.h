/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * System calls, seen when they end: what was asked for is still in the registers of user mode, what came of it is the
 * tracepoint's argument. So one hook is both entry and exit, and nothing has to be kept between the two.
 *
 * `on_call` (call.bpf.c) is at that hook and calls the program that stands in `calls` under the number of the call.
 * The numbers are those of x86-64; a call by the 32-bit table has its number translated, and its arguments are taken
 * from where that table has them.
 */
#ifndef PODWITNESS_CALL_H
#define PODWITNESS_CALL_H

#include "event.h"

#include <asm/errno.h>
#include <asm/unistd_64.h>

#define CALLS 512
#define NO_CALL 0xffff
#define TS_COMPAT 2	   /* arch/x86/include/asm/thread_info.h: this call came by the 32-bit table */
#define X32_BIT 0x40000000 /* of the number: the x32 table, which has the same calls below 512 */
#define SOCKETCALL 102	   /* of the 32-bit table: many calls in one, its arguments in memory */
#define SOCKETCALLS 21
#define RESTART_FIRST -516 /* include/linux/errno.h: the kernel does the call again, or says EINTR */
#define RESTART_LAST -512

/* By table (64 bits, 32 bits) and number: the number on x86-64 where somebody asked for the call, else NO_CALL. */
const volatile __u16 call_of[2][CALLS];

/* A call that has ended: its arguments, and what it returned. */
struct call {
	__u64 args[6];
	__s64 result;
	call_t number;
	__u32 pad;
};

static __always_inline bool is_compat(void)
{
	return bpf_get_current_task_btf()->thread_info.status & TS_COMPAT;
}

/* By socketcall()'s first argument (include/uapi/linux/net.h); send and recv are sendto and recvfrom. */
static const __u16 socket_calls[SOCKETCALLS] = {
	NO_CALL,	  __NR_socket,	   __NR_bind,	 __NR_connect,	__NR_listen,  __NR_accept,   __NR_getsockname,
	__NR_getpeername, __NR_socketpair, __NR_sendto,	 __NR_recvfrom, __NR_sendto,  __NR_recvfrom, __NR_shutdown,
	__NR_setsockopt,  __NR_getsockopt, __NR_sendmsg, __NR_recvmsg,	__NR_accept4, __NR_recvmmsg, __NR_sendmmsg,
};

/* As the kernel takes it: of what a program has put into the register the lower half. */
static __always_inline __u32 asked_number(struct pt_regs *regs)
{
	return regs->orig_ax;
}

static __always_inline __u32 wanted_call(__u32 number, __u32 first, bool compat)
{
	if (compat && number == SOCKETCALL) {
		number = first < SOCKETCALLS ? socket_calls[first] : NO_CALL;
		compat = false;
	}
	if (!compat)
		number &= ~X32_BIT;
	return number < CALLS ? call_of[compat][number] : NO_CALL;
}

/* NO_CALL where nobody asked for it. */
static __always_inline __u32 call_number(struct pt_regs *regs, bool compat)
{
	return wanted_call(asked_number(regs), regs->bx, compat);
}

/*
 * Whether a thread with these registers is within its system call: until the end the kernel has -ENOSYS where the
 * result will be. What io_uring has put off is done behind the end, by a thread that still has the call's number.
 */
static __always_inline bool is_before_end(struct pt_regs *regs)
{
	return (__s32)regs->ax == -ENOSYS;
}

static __always_inline void read_args(struct call *call, struct pt_regs *regs, bool compat)
{
	call->args[0] = compat ? (__u32)regs->bx : regs->di;
	call->args[1] = compat ? (__u32)regs->cx : regs->si;
	call->args[2] = compat ? (__u32)regs->dx : regs->dx;
	call->args[3] = compat ? (__u32)regs->si : regs->r10;
	call->args[4] = compat ? (__u32)regs->di : regs->r8;
	call->args[5] = compat ? (__u32)regs->bp : regs->r9;
}

static __always_inline __u32 wide_id(__u16 id)
{
	return id == 0xffff ? -1U : id;
}

/* Calls of the 32-bit table that are another call to us, and have arguments of their own. */
static __always_inline void fit_args(struct call *call, __u32 number)
{
	switch (number) {
	case 23:  /* setuid */
	case 46:  /* setgid */
	case 70:  /* setreuid */
	case 71:  /* setregid */
	case 138: /* setfsuid */
	case 139: /* setfsgid */
	case 164: /* setresuid */
	case 170: /* setresgid */
		call->args[0] = wide_id(call->args[0]);
		call->args[1] = wide_id(call->args[1]);
		call->args[2] = wide_id(call->args[2]);
		break;
	case 16:  /* lchown */
	case 95:  /* fchown */
	case 182: /* chown */
		call->args[1] = wide_id(call->args[1]);
		call->args[2] = wide_id(call->args[2]);
		break;
	case 22: /* umount, without flags */
		call->args[1] = 0;
		break;
	case 193: /* truncate64 */
	case 194: /* ftruncate64 */
		call->args[1] |= call->args[2] << 32;
		break;
	}
}

/* For programs in `calls`: the call that has just ended; false where it is going to be done again. */
static __always_inline bool read_call(struct call *call, struct pt_regs *regs, long result)
{
	bool compat = is_compat();

	if (result >= RESTART_FIRST && result <= RESTART_LAST)
		return false;
	call->number = call_number(regs, compat);
	call->result = compat ? (__s32)result : result;
	call->pad = 0;
	read_args(call, regs, compat);
	if (compat)
		fit_args(call, asked_number(regs));
	return true;
}

static __always_inline errno_t error_of(long result)
{
	return result < 0 && result >= -4095 ? -result : 0;
}

/* For what is rare when it comes about: anybody can be refused a million times a second, and must not push that out. */
static __always_inline enum ring ring_of(errno_t error)
{
	return error ? activity_ring : lifecycle_ring;
}

#endif
