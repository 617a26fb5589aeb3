"""Other builds of our programs: bpf/ copied, changed and compiled as the Makefile does it."""

import os
import shutil
import subprocess
from pathlib import Path

from exporter.source.programs import objects_directory

_FLAGS = (
    "-O2",
    "-g",
    "-Wall",
    "-Werror",
    "-target",
    "bpf",
    "-mcpu=v3",
    "-D__TARGET_ARCH_x86",
    "-I/usr/include/x86_64-linux-gnu",
)
_PLACE = "	struct image image;\n	tid_t tid; /*"


def longer_exec(folder: Path) -> Path:
    """A build whose `struct process_exec` has a member more, in front of nearly all others."""
    copied(folder)
    changed(folder / "process.bpf.c", _PLACE, f"	__u64 more;\n{_PLACE}")
    return compiled(folder)


FLOOD = """
#include "event.h"
SAMPLE(flood) { struct header header; };
SEC("tp_btf/sched_process_exec") int BPF_PROG(on_flood, struct task_struct *task)
{
	struct flood event = {};

	fill_header(&event.header, flood_kind, task);
	if (!is_own(task) && !is_unread(activity_ring, &event.header))
		submit(activity_ring, &event.header, sizeof(event));
	return 0;
}
char LICENSE[] SEC("license") = "GPL";
"""


def with_flood(folder: Path) -> Path:
    """A build with a program more, at a hook of its own: each exec sends a `flood` to the ring activity."""
    copied(folder)
    (folder / "flood.bpf.c").write_text(FLOOD)
    changed(folder / "sample.h", "	process_snapshot_kind,", "	process_snapshot_kind,\n	flood_kind,")
    changed(
        folder / "dispatch.bpf.c",
        "DISPATCH(on_exec,",
        'DISPATCH(on_flood, "tp_btf/sched_process_exec")\nDISPATCH(on_exec,',
    )
    return compiled(folder)


def copied(folder: Path) -> None:
    """Our sources, to change."""
    shutil.copytree(objects_directory(), folder, ignore=shutil.ignore_patterns("*.o", "*.d"))


def changed(path: Path, old: str, new: str) -> None:
    """Replace `old`, which must be there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def compiled(folder: Path) -> Path:
    """Compile as the Makefile does."""
    for source in folder.glob("*.bpf.c"):
        made = source.with_suffix(".o")
        subprocess.run(["clang", *_FLAGS, "-I", str(folder), "-c", str(source), "-o", str(made)], check=True)
        subprocess.run(["llvm-strip", "-g", str(made)], check=True)
    return folder


BUILDS = {"longer-exec": longer_exec, "with-flood": with_flood}
MADE = "PODWITNESS_BUILDS"


def prepared(name: str, folder: Path) -> Path:
    """That build, made in `folder`; in a machine of tests/machines the one that was made before it started.

    A compiler on an emulated CPU takes minutes.
    """
    if MADE not in os.environ:
        return BUILDS[name](folder / name)
    made = Path(os.environ[MADE], name)
    assert made.exists(), f"{name} did not compile on the machine that started this one"
    return made
