"""A bpffs of a test's own: mounted in a mount namespace that a process keeps, and gone with it.

What is pinned must be run in that namespace: `command` says how. Nothing is mounted on the machine; the keeper ends
when the test does, whichever way, because its standard input is closed then.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_KEEPER = 'mount -t bpf bpf "$0" && echo ready && exec cat'


class Bpffs(NamedTuple):
    """`path` is where it is mounted, for those who are in its namespace; `keeper` is the process that holds it."""

    path: Path
    keeper: int

    def command(self, argv: Sequence[str]) -> list[str]:
        """`argv`, run where the bpffs is; its pid is that of the process started, its directory ours."""
        return ["nsenter", "--mount", f"--target={self.keeper}", "--wdns=.", "--", *argv]


@contextmanager
def bpffs(folder: Path) -> Iterator[Bpffs]:
    """A new bpffs, mounted at `folder`/bpf."""
    path = folder / "bpf"
    path.mkdir()
    keeper = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", _KEEPER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert keeper.stdin
    assert keeper.stdout
    try:
        assert keeper.stdout.readline() == b"ready\n"
        yield Bpffs(path, keeper.pid)
    finally:
        keeper.stdin.close()
        keeper.wait(10)
        keeper.stdout.close()
