// SPDX-License-Identifier: Apache-2.0
/*
 * A workload that makes synthetic events and measures what they cost it: calls of getpriority(), each with a number.
 *
 *     producer COUNT RATE WHICH
 *
 * RATE is calls a second, evenly; 0: as fast as it can. With WHICH of tests/e2e/synthetic/activity.bpf.c each call is
 * an event, with another none. Prints the CPU time of one call in ns, the kernel's part of it included.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long now(clockid_t clock)
{
	struct timespec at;

	clock_gettime(clock, &at);
	return at.tv_sec * 1000000000LL + at.tv_nsec;
}

/* Who is late does not sleep: a sleep costs 50 us of slack at least, more than there is between two calls. */
static void wait_until(long long at)
{
	struct timespec until = {at / 1000000000LL, at % 1000000000LL};

	while (at > now(CLOCK_MONOTONIC) && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
		;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	long count = atol(argv[1]), rate = atol(argv[2]), which = strtol(argv[3], NULL, 0);
	long long begun = now(CLOCK_MONOTONIC), used = now(CLOCK_PROCESS_CPUTIME_ID);

	for (long number = 0; number < count; number++) {
		if (rate)
			wait_until(begun + number * 1000000000LL / rate);
		syscall(SYS_getpriority, which, number);
	}
	printf("%.2f\n", (double)(now(CLOCK_PROCESS_CPUTIME_ID) - used) / count);
	return 0;
}
