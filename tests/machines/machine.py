"""A machine with a kernel of Debian's: QEMU, whose root is this machine's / with a tmpfs over it.

Nothing that happens there is written here: / is shared read-only (9p) and there is no network. What comes out are
three files, each a virtio port: `status` (up, then the exit code), `output`, and `results` for what the command itself
writes.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.machines.initrd import write_initrd
from tests.machines.kernels import Kernel, KernelUnavailableError

QEMU = "qemu-system-x86_64"
PORTS = ("status", "output", "results")
RESULTS = "/dev/virtio-ports/results"
"""Where the command writes results; one process at a time can open it."""

MEMORY = 2048
PATIENCE = 900.0
"""Seconds without a new result until a machine is called hung; without KVM the slowest test takes some minutes."""
PATIENCE_WITH_KVM = 20.0
"""Seconds for a machine to come and go under KVM, which takes two."""

_BOOT = (
    "console=ttyS0 quiet loglevel=4 panic=-1 nokaslr mitigations=off random.trust_cpu=on cryptomgr.notests"
    " tsc=reliable no_timer_check rcupdate.rcu_expedited=1 lsm=landlock,lockdown,yama,integrity,bpf"
)
"""Fast to boot on an emulated CPU; BPF LSM is on as on nodes whose owner wants it."""


class MachineError(Exception):
    """A machine that ended or hung before its command was done, with its console's last words."""


class Machine:
    """One boot of `kernel` that runs `command` in this directory, as root, and ends.

    Args:
        kernel: from kernels.kernel().
        folder: an empty one, for what the machine needs and writes.
        command: program and arguments.
        environment: what the command finds beside PATH, HOME, LANG and a TMPDIR that is on a tmpfs.

    Raises:
        KernelUnavailableError: QEMU or busybox is not installed.
    """

    def __init__(self, kernel: Kernel, folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._kernel, self._folder, self._qemu = kernel, folder, _installed(QEMU)
        usual = {"PATH": os.environ["PATH"], "HOME": "/root", "LANG": "C.UTF-8", "TMPDIR": "/run/tmp"}
        write_initrd(folder / "initrd.img", kernel, _installed("busybox"), command, usual | dict(environment))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def release(self) -> str:
        """The kernel's, as `uname -r` says it."""
        return self._kernel.release

    def start(self, accelerator: str) -> None:
        """Boot; QEMU's `accelerator` is kvm or tcg."""
        for port in PORTS:
            (self._folder / port).touch()
        # setpriv: the kernel ends it with us, even if pytest is killed and no fixture can.
        command = ["setpriv", "--pdeathsig", "KILL", "--", self._qemu, *self._hardware(accelerator)]
        with (self._folder / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def stop(self) -> None:
        """Pull the plug; harmless where it has ended."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def results(self, patience: float = PATIENCE) -> Iterator[bytes]:
        """What the command writes to RESULTS, line by line as it comes, until the machine has ended.

        Raises:
            MachineError: nothing came for `patience` seconds.
        """
        rest = b""
        for piece in self._pieces(patience):
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines

    def exit_code(self) -> int:
        """The command's, once the machine has ended.

        Raises:
            MachineError: it ended before the command did.
        """
        said = (self._folder / "status").read_text().split()
        if not said or not said[-1].isdigit():
            raise MachineError(f"the machine ended before its command did{self.last_words()}")
        return int(said[-1])

    def output(self) -> str:
        """What the command wrote to stdout and stderr."""
        return (self._folder / "output").read_text(errors="replace")

    def last_words(self) -> str:
        """The end of its console and of its output, to be appended to a message."""
        said = [self._folder.joinpath(name).read_text(errors="replace") for name in ("qemu.log", "console", "output")]
        return "".join(f"\n{line}" for text in said for line in text.splitlines()[-80:])

    def _pieces(self, patience: float) -> Iterator[bytes]:
        until = time.monotonic() + patience
        with (self._folder / "results").open("rb") as port:
            while True:
                ended = self._ended()  # asked before reading, so that its last piece is not missed
                if piece := port.read():
                    until = time.monotonic() + patience
                    yield piece
                elif ended:
                    return
                elif time.monotonic() > until:
                    raise MachineError(f"the machine hangs: nothing for {patience:.0f} s{self.last_words()}")

    def _ended(self) -> bool:
        """Whether it has; takes a tenth of a second to say no."""
        assert self._process, "not started"
        try:
            self._process.wait(0.1)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _hardware(self, accelerator: str) -> list[str]:
        """QEMU's arguments: a CPU or two, this machine's /, and the ports."""
        options = ["-accel", accelerator, "-cpu", "max", "-smp", str(_cpus()), "-m", str(MEMORY)]
        options += ["-M", "q35,smbus=off,sata=off,usb=off,vmport=off", "-nodefaults", "-no-user-config", "-no-reboot"]
        options += ["-display", "none", "-serial", f"file:{self._folder}/console"]
        options += ["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"]
        options += ["-device", "virtio-9p-pci,fsdev=root,mount_tag=root", "-device", "virtio-serial-pci"]
        for port in PORTS:
            options += ["-chardev", f"file,id={port},path={self._folder}/{port}"]
            options += ["-device", f"virtserialport,chardev={port},name={port}"]
        return [*options, "-kernel", str(self._kernel.image), "-initrd", f"{self._folder}/initrd.img", "-append", _BOOT]


def accelerator(kernel: Kernel) -> str:
    """QEMU's name for the fastest that works: a /dev/kvm that can be opened may still run no kernel."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(kernel, Path(folder), ["true"], {})
        machine.start("kvm")
        try:
            list(machine.results(PATIENCE_WITH_KVM))
            return "kvm" if machine.exit_code() == 0 else "tcg"
        except MachineError:
            return "tcg"
        finally:
            machine.stop()


def _cpus() -> int:
    """Two, so that CPUs race, where two machines at a time leave room for it."""
    return max(1, min(2, (os.cpu_count() or 1) // 2))


def _installed(program: str) -> str:
    found = shutil.which(program)
    if not found:
        raise KernelUnavailableError(f"{program} is not installed; `make setup` installs it")
    return found
