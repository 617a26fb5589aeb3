"""Other code that gets into the kernel, or another kernel, as the real probes tell of it."""

import errno
import lzma
import os
from pathlib import Path

import pytest

from tests.kernel.children import N, as_nobody, call, done, in_child
from tests.kernel.recorded import recording
from tests.kernel.surface import KERNEL, told_of, word

pytestmark = pytest.mark.kernel

INIT_MODULE, DELETE_MODULE, FINIT_MODULE, KEXEC_LOAD, KEXEC_FILE_LOAD = 175, 176, 313, 246, 320


def small_module() -> Path | None:
    """A table of characters that nothing needs and that needs nothing, not loaded; None where there is none."""
    place = Path(os.environ.get("PODWITNESS_MODULES", f"/lib/modules/{os.uname().release}"))
    found = sorted(place.glob("kernel/fs/nls/nls_cp*.ko*"))
    loaded = {line.split()[0] for line in Path("/proc/modules").read_text().splitlines()} if found else set()
    return next((path for path in found if path.name.partition(".")[0] not in loaded), None)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    found = small_module()
    if not found:
        pytest.skip("no modules of this kernel in PODWITNESS_MODULES or /lib/modules")
    content = found.read_bytes()
    path = tmp_path / f"{found.name.partition('.')[0]}.ko"
    path.write_bytes(lzma.decompress(content) if found.suffix == ".xz" else content)
    return path


def come_and_go(path: Path) -> list[str]:
    """23 times loaded and unloaded, every second time from memory; what /sys says of its signature."""
    content, taints = path.read_bytes(), []
    for turn in range(N):
        if turn % 2:
            done(INIT_MODULE, content, len(content), b"")
        else:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            done(FINIT_MODULE, file, b"", 0)
            os.close(file)
        taints.append(Path(f"/sys/module/{path.stem}/taint").read_text().strip())
        done(DELETE_MODULE, path.stem.encode(), os.O_NONBLOCK)
    return taints


def test_23_modules_come_and_go(tmp_path: Path, module: Path) -> None:
    with recording(tmp_path, KERNEL) as finish:
        child = in_child(lambda: come_and_go(module))
        told = finish()
    assert told_of(told, "kernel.module_load", child.pid) == [
        {
            "podwitness.kernel.module.name": module.stem,
            "podwitness.kernel.module.signature": "unverified" if "E" in taint else "verified",
            **({} if turn % 2 else {"file.path": str(module)}),
            "podwitness.syscall.name": "init_module" if turn % 2 else "finit_module",
        }
        for turn, taint in enumerate(child.said)
    ]
    assert (
        told_of(told, "kernel.module_unload", child.pid)
        == [
            {
                "podwitness.kernel.module.name": module.stem,
                "podwitness.kernel.module.flags": "O_NONBLOCK",
                "podwitness.syscall.name": "delete_module",
            }
        ]
        * N
    )


def test_a_module_that_is_there_already_is_refused_with_its_name(tmp_path: Path, module: Path) -> None:
    def twice() -> list[int]:
        file = os.open(module, os.O_RDONLY)
        results = [call(FINIT_MODULE, file, b"", 0) for _ in range(2)]
        done(DELETE_MODULE, module.stem.encode(), os.O_NONBLOCK)
        return [*results, call(DELETE_MODULE, module.stem.encode(), os.O_NONBLOCK)]

    with recording(tmp_path, KERNEL) as finish:
        child = in_child(twice)
        told = finish()
    assert child.said == [0, -errno.EEXIST, -errno.ENOENT]
    _first, second = told_of(told, "kernel.module_load", child.pid)
    assert second["error.type"] == "EEXIST"
    assert second["file.path"] == str(module)
    _gone, absent = told_of(told, "kernel.module_unload", child.pid)
    assert absent["error.type"] == "ENOENT"
    assert absent["podwitness.kernel.module.name"] == module.stem


def test_23_refused_modules_have_the_file_and_the_flags(tmp_path: Path) -> None:
    path = tmp_path / "other.ko"
    path.write_bytes(b"no module")
    file = os.open(path, os.O_RDONLY)
    with recording(tmp_path, KERNEL) as finish:
        load = in_child(as_nobody(FINIT_MODULE, file, b"", 3))
        unload = in_child(as_nobody(DELETE_MODULE, b"some_module", os.O_NONBLOCK | os.O_TRUNC))
        told = finish()
    os.close(file)
    assert told_of(told, "kernel.module_load", load.pid) == [
        {
            "file.path": str(path),
            "podwitness.kernel.module.flags": "MODULE_INIT_IGNORE_MODVERSIONS|MODULE_INIT_IGNORE_VERMAGIC",
            "podwitness.syscall.name": "finit_module",
            "error.type": word(result),
        }
        for result in load.said
    ]
    assert told_of(told, "kernel.module_unload", unload.pid) == [
        {
            # A kernel without modules has not looked at it; we have.
            "podwitness.kernel.module.name": "some_module",
            "podwitness.kernel.module.flags": "O_TRUNC|O_NONBLOCK",
            "podwitness.syscall.name": "delete_module",
            "error.type": word(result),
        }
        for result in unload.said
    ]


def test_23_refused_kernels_to_come(tmp_path: Path) -> None:
    image, initrd = tmp_path / "vmlinuz", tmp_path / "initrd.img"
    image.write_bytes(b"no kernel")
    initrd.write_bytes(b"no initrd")
    files = [os.open(path, os.O_RDONLY) for path in (image, initrd)]
    with recording(tmp_path, KERNEL) as finish:
        old = in_child(as_nobody(KEXEC_LOAD, 0, 0, None, 1 | 62 << 16))
        new = in_child(as_nobody(KEXEC_FILE_LOAD, *files, 0, None, 4))
        told = finish()
    assert told_of(told, "kernel.kexec", old.pid) == [
        {
            "podwitness.kexec.flags": "KEXEC_ARCH_X86_64|KEXEC_ON_CRASH",
            "podwitness.syscall.name": "kexec_load",
            "error.type": word(result),
        }
        for result in old.said
    ]
    assert told_of(told, "kernel.kexec", new.pid) == [
        {
            "file.path": str(image),
            "podwitness.kexec.initrd.path": str(initrd),
            "podwitness.kexec.file_flags": "KEXEC_FILE_NO_INITRAMFS",
            "podwitness.syscall.name": "kexec_file_load",
            "error.type": word(result),
        }
        for result in new.said
    ]
    for file in files:
        os.close(file)
