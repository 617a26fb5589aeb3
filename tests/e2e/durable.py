"""An agent that is killed, started again and upgraded: pinned probes in a bpffs of the test's own, a spool on disk.

The agent is the real one with one probe more (`synthetic/`), so that a flood of activity exists to be counted.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from tests.e2e.agent import enter
from tests.kernel.bpffs import Bpffs
from tests.waiting import wait_for

REPO = Path(__file__).parents[2]
SHIFT = 20
BASE = random.getrandbits(10) << SHIFT
"""Where the numbers of this run begin: someone else may test on this machine."""
OURS = f"flood-{BASE}-"
SYNTHETIC = Path(__file__).parent / "synthetic"


def build(folder: Path, **patches: tuple[str, str]) -> Path:
    """The programs of bpf/ and the synthetic one, compiled; `patches` are (old, new) by file name without `.bpf.c`."""
    source = folder / "bpf"
    shutil.copytree(REPO / "bpf", source, ignore=shutil.ignore_patterns("*.o", "*.d"))
    shutil.copy(SYNTHETIC / "activity.bpf.c", source)
    shutil.copy(REPO / "Makefile", folder)
    patch(
        source / "dispatch.bpf.c", "DISPATCH(on_exec,", 'DISPATCH(on_synthetic, "tp_btf/sys_enter")\nDISPATCH(on_exec,'
    )
    for name, (old, new) in patches.items():
        patch(source / f"{name}.bpf.c", old, new)
    made = subprocess.run(["make", "-C", folder, "objects"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return source


def patch(path: Path, old: str, new: str) -> None:
    """Replace what must be there."""
    text = path.read_text()
    assert old in text, f"{path} has no {old}"
    path.write_text(text.replace(old, new, 1))


class Durable:
    """`podwitness run` again and again, with what is kept between two runs."""

    def __init__(self, folder: Path, bpffs: Bpffs, objects: Path, settings: dict[str, Any]) -> None:
        self.folder, self._bpffs, self.objects = folder, bpffs, objects
        folder.mkdir(exist_ok=True)
        self.spool, self.config = folder / "spool", folder / "config.yaml"
        kernel = {"persist": True, "pin_path": str(bpffs.path / "podwitness")} | settings.pop("kernel", {})
        whole = {"kernel": kernel, "spool": {"path": str(self.spool)}, "kubernetes": {"mode": "off"}} | settings
        self.config.write_text(yaml.safe_dump(whole))
        self._log = (folder / "agent.log").open("w+")
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = self._clock = 0

    def start(self, group: Path | None = None) -> None:
        """Begin, in this cgroup where one is given; returns before it is ready."""
        self.starts += 1
        command = self._bpffs.command(
            [sys.executable, str(SYNTHETIC / "agent.py"), "run", "--config", str(self.config)]
        )
        environ = os.environ | {
            "PODWITNESS_TEST_OBJECTS": str(self.objects),
            "PODWITNESS_TEST_CLOCK": str(self.folder / "clock"),
        }
        self.process = subprocess.Popen(
            command,
            stderr=self._log,
            env=environ,
            preexec_fn=partial(enter, group) if group else None,
        )

    def watches(self) -> None:
        """Wait until it reads."""
        wait_for(lambda: self._alive() and self.said().count("watching ") == self.starts, "the agent watches")

    def kill(self) -> None:
        """Without a word."""
        assert self.process is not None
        self._alive()
        self.process.kill()
        self.process.wait()

    def stop(self) -> str:
        """As a node does; the last line it said."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.said()
        return self.said().splitlines()[-1]

    def move_clock(self, seconds: int) -> None:
        """The agent's wall clock jumps from now on; the machine's does not."""
        self._clock += seconds
        (self.folder / "clock.new").write_text(str(self._clock * 10**9))
        (self.folder / "clock.new").rename(self.folder / "clock")

    def said(self) -> str:
        """Its log, of all runs."""
        return Path(self._log.name).read_text()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command of podwitness, where the agent runs."""
        command = self._bpffs.command([str(Path(sys.executable).with_name("podwitness")), *arguments])
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def _alive(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()
        return True

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()


def flood(execs: int, activity: int, seconds: float) -> "subprocess.Popen[bytes]":
    """The workload that counts itself."""
    script = str(SYNTHETIC / "flood.py")
    return subprocess.Popen([sys.executable, script, str(execs), str(activity), str(seconds), str(BASE)])


class Arrived(NamedTuple):
    """One record as a receiver wrote it."""

    uid: str
    sequence: int
    name: str
    attributes: dict[str, Any]


def arrived(path: Path) -> Iterator[list[Arrived]]:
    """The batches of a file of OTLP JSON lines, in their order; what is still being written is left out."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                return
            scopes = [scope for group in msgspec.json.decode(line)["resourceLogs"] for scope in group["scopeLogs"]]
            yield [_arrived(record) for scope in scopes for record in scope["logRecords"]]


def _arrived(record: dict[str, Any]) -> Arrived:
    held: dict[str, Any] = {pair["key"]: next(iter(pair["value"].values()), None) for pair in record["attributes"]}
    sequence = int(held["podwitness.event.sequence"])
    return Arrived(held["log.record.uid"], sequence, record["eventName"].removeprefix("podwitness."), held)


class Flood:
    """What came of a flood: how often each exec and each number was told, each record once however often it came."""

    def __init__(self, *paths: Path) -> None:
        self.execs: Counter[str] = Counter()
        self.numbers: Counter[int] = Counter()
        self.lost: list[dict[str, Any]] = []
        self.duplicates = 0
        self._sequence: dict[str, int] = {}  # by uid
        self._seen: set[str] = set()
        self.disorder = 0  # batches with something that is older than what had come before
        highest = 0
        for batch in (batch for path in paths for batch in arrived(path)):
            fresh = [record.sequence for record in batch if record.uid not in self._seen]
            self.disorder += bool(fresh) and min(fresh) < highest
            highest = max(fresh, default=highest)
            for record in batch:
                self._take(record)
        sequences = sorted(self._sequence.values())
        self.twice = len(sequences) - len(set(sequences))  # numbers that two records have
        self.holes = (sequences[-1] - sequences[0] + 1 if sequences else 0) - len(set(sequences))

    def _take(self, record: Arrived) -> None:
        known = self._sequence.setdefault(record.uid, record.sequence)
        assert known == record.sequence, f"{record} has come as number {known} too"
        if record.uid in self._seen:
            self.duplicates += 1
            return
        self._seen.add(record.uid)
        if record.name == "synthetic.activity":
            number = int(record.attributes["podwitness.synthetic.number"])
            if number >> SHIFT == BASE >> SHIFT:
                self.numbers[number - BASE] += 1
        elif record.name == "agent.events_lost":
            self.lost.append(record.attributes)
        elif record.name == "process.exec":
            arguments = record.attributes.get("process.command_args", {}).get("values", ())
            self.execs.update(a["stringValue"] for a in arguments if a["stringValue"].startswith(OURS))
