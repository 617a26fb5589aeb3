"""The initrd of a machine: busybox, the modules that bring its root, and what is to be done there."""

import lzma
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.machines.kernels import Kernel

GUEST = Path(__file__).with_name("guest")
MODULES = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay")
MOUNTPOINTS = ("proc", "sys", "dev", "host", "written", "root")


def write_initrd(
    path: Path, kernel: Kernel, busybox: str, command: Sequence[str], environment: Mapping[str, str]
) -> None:
    """Write the initrd that runs `command` in this directory, with nothing but `environment`."""
    tree = path.with_name("initrd")
    for name in ("bin", "modules", *MOUNTPOINTS):
        (tree / name).mkdir(parents=True)
    shutil.copy(busybox, tree / "bin/busybox")
    shutil.copy(GUEST / "main", tree)
    shutil.copy(GUEST / "init", tree)
    (tree / "init").chmod(0o755)
    (tree / "kernel").write_text(str(kernel.folder))
    (tree / "command").write_text(_script(command, environment))
    for number, module in enumerate(load_order(kernel.modules, MODULES)):
        (tree / "modules" / f"{number:02}-{module.name.removesuffix('.xz')}").write_bytes(_plain(module))
    names = "".join(f"{entry.relative_to(tree)}\n" for entry in sorted(tree.rglob("*")))
    with path.open("wb") as archive:
        pack = [busybox, "cpio", "-o", "-H", "newc"]
        subprocess.run(pack, input=names.encode(), stdout=archive, stderr=subprocess.DEVNULL, cwd=tree, check=True)
    shutil.rmtree(tree)


def load_order(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files of these modules and of what they need, each after what it needs; those built in have none.

    Args:
        folder: with modules.dep, whose lines are `module: what it needs, the first to load last`.
        names: as modprobe takes them.
    """
    listed = dict(_needs((folder / "modules.dep").read_text()))
    by_name = {_name(path): path for path in listed}
    wanted = [by_name[name] for name in names if name in by_name]
    return [folder / path for path in dict.fromkeys(p for path in wanted for p in (*reversed(listed[path]), path))]


def _needs(text: str) -> Iterator[tuple[str, list[str]]]:
    for line in text.splitlines():
        path, _, needed = line.partition(":")
        yield path, needed.split()


def _name(path: str) -> str:
    """9pnet_virtio of kernel/net/9p/9pnet_virtio.ko.xz."""
    return Path(path).name.partition(".")[0].replace("-", "_")


def _plain(module: Path) -> bytes:
    """The module as insmod takes it."""
    content = module.read_bytes()
    return lzma.decompress(content) if module.suffix == ".xz" else content


def _script(command: Sequence[str], environment: Mapping[str, str]) -> str:
    exports = (f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    return f"{''.join(exports)}cd {shlex.quote(str(Path.cwd()))}\nexec {shlex.join(command)}\n"
