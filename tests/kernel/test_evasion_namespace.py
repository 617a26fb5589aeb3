"""Ways into a namespace past what its call seems to say."""

import errno
import subprocess
from pathlib import Path

import pytest

from tests.kernel.children import call, in_child
from tests.kernel.namespaces import ALL, HOST, NEWNS, SETNS, number, opened, told_of
from tests.kernel.programs import compiled
from tests.kernel.recorded import recording

pytestmark = pytest.mark.kernel


SWAPPED = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static int home, slot = 100;
static volatile int over, delay;
static char stack[65536];
static int swap(void *unused)
{
	while (!over) {
		dup2(home, slot);
		for (volatile int i = 0; i < delay; i++);
		close(slot);
	}
	return 0;
}
int main(int count, char **words)
{
	home = open("/proc/self/ns/net", O_RDONLY);
	if (unshare(CLONE_NEWNET))
		return 1;
	int own = open("/proc/self/ns/net", O_RDONLY);
	clone(swap, stack + sizeof(stack), CLONE_VM | CLONE_FILES | SIGCHLD, 0);
	for (int done = 0; done < atoi(words[1]);) {
		delay = done % 200;
		if (!setns(slot, 0)) {
			done++;
			setns(own, CLONE_NEWNET);
		}
	}
	over = 1;
	wait(0);
}
"""


def test_2000_escapes_by_a_descriptor_that_is_gone_when_the_call_ends(tmp_path: Path) -> None:
    if number("pid") != HOST["pid"]:
        pytest.skip("the tests run in namespaces that are not those of this machine's init")
    program, home = compiled(tmp_path, SWAPPED), number("net")
    with recording(tmp_path, ALL) as finish:
        runner = subprocess.Popen([program, "2000"])
        assert runner.wait() == 0
        told = finish()
    escapes = told_of(told, "namespace.escape", runner.pid)
    assert [event["podwitness.namespace.types"] for event in escapes] == [("net",)] * 2000
    assert {event["podwitness.namespace.new.net"] for event in escapes} == {home}
    entries = [one for one in told_of(told, "namespace.setns", runner.pid) if "error.type" not in one]
    assert [event["podwitness.namespace.types"] for event in entries] == [("net",)] * 4000


def test_what_a_refused_call_asked_for_is_told_beside_what_its_descriptor_is(tmp_path: Path) -> None:
    with recording(tmp_path, ALL) as finish:
        child = in_child(lambda: call(SETNS, opened("net"), NEWNS))
        (told,) = told_of(finish(), "namespace.setns", child.pid)
    assert child.said == -errno.EINVAL
    assert told["podwitness.namespace.types"] == ("net",)
    assert told["podwitness.namespace.asked_types"] == ("mnt",)
