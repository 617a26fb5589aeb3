// SPDX-License-Identifier: Apache-2.0
/*
 * What others observe, done over and over, and what it costs who does it.
 *
 *     workload open|connect|exec|storm COUNT RATE FOLDER
 *
 * RATE is times a second, evenly; 0: as fast as it can. `open` opens and closes one file, `connect` connects to a
 * socket of its own on loopback, `exec` runs /bin/true, `storm` makes, fills, renames and removes a file. Prints
 * nanoseconds for each time: of this process's CPU (of its children's too, for exec), then of the clock on the wall.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static char one[4096], other[4096];
static struct sockaddr_in listening = {.sin_family = AF_INET};
static int listener;

static void must(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
}

static void open_file(void)
{
	int fd = open(one, O_RDONLY | O_CLOEXEC);

	must(fd, "open");
	close(fd);
}

/* Reset rather than closed: else ports would be waited for after some ten thousand. */
static void connect_once(void)
{
	struct linger now = {1, 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd, "socket");
	must(connect(fd, (struct sockaddr *)&listening, sizeof(listening)), "connect");
	int peer = accept(listener, NULL, NULL);

	must(peer, "accept");
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	close(peer);
}

static void run_program(void)
{
	char *argv[] = {"/bin/true", "podwitness-bench", NULL};
	pid_t pid;

	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ))
		must(-1, "spawn");
	must(waitpid(pid, NULL, 0), "wait");
}

static void storm(void)
{
	int fd = open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	static char block[4096];

	must(fd, "create");
	must(write(fd, block, sizeof(block)), "write");
	close(fd);
	must(rename(other, one), "rename");
	must(unlink(one), "unlink");
}

static void set_up(const char *folder)
{
	socklen_t size = sizeof(listening);

	snprintf(one, sizeof(one), "%s/one", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	close(open(one, O_CREAT | O_RDWR, 0600));
	listening.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(listener, (struct sockaddr *)&listening, size), "bind");
	must(listen(listener, 128), "listen");
	getsockname(listener, (struct sockaddr *)&listening, &size);
}

static long long now(clockid_t clock)
{
	struct timespec at;

	clock_gettime(clock, &at);
	return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static long long used(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000LL +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000LL;
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
	const struct {
		const char *name;
		void (*run)(void);
	} works[] = {{"open", open_file}, {"connect", connect_once}, {"exec", run_program}, {"storm", storm}};
	void (*run)(void) = NULL;

	for (int i = 0; argc == 5 && i < 4; i++)
		if (!strcmp(works[i].name, argv[1]))
			run = works[i].run;
	if (!run)
		return 2;
	set_up(argv[4]);
	long count = atol(argv[2]), rate = atol(argv[3]);
	long long began = now(CLOCK_MONOTONIC), before = used(RUSAGE_SELF) + used(RUSAGE_CHILDREN);

	for (long number = 0; number < count; number++) {
		if (rate)
			wait_until(began + number * 1000000000LL / rate);
		run();
	}
	printf("%.1f %.1f\n", (double)(used(RUSAGE_SELF) + used(RUSAGE_CHILDREN) - before) / count,
	       (double)(now(CLOCK_MONOTONIC) - began) / count);
	return 0;
}
