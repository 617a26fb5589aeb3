"""A workload that knows what it did: so many execs and so many synthetic events, each with its number, over some time.

python flood.py EXECS ACTIVITY SECONDS [BASE]: numbers begin at BASE, so that two of these can be told apart.
"""

import os
import sys
import time

WHICH = 0x7077  # as in activity.bpf.c
STEP = 0.05


def main(execs: int, activity: int, seconds: float, base: int) -> None:
    """Even portions, so that an agent that is killed meanwhile misses some of everything if it misses anything."""
    begun = time.monotonic()
    steps = max(1, int(seconds / STEP))
    started = asked = 0
    for step in range(1, steps + 1):
        while started < execs * step // steps:
            pid = os.posix_spawn("/bin/true", ["true", f"flood-{base}-{started}"], {})
            os.waitpid(pid, 0)
            started += 1
        while asked < activity * step // steps:
            try:
                os.getpriority(WHICH, base + asked)
            except OSError:
                asked += 1  # what it always says: there is no such thing
        time.sleep(max(0.0, begun + step * STEP - time.monotonic()))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 0)
