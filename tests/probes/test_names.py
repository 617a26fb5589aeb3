"""Numbers of the kernel as words; the kernel and the C library of this machine are asked what they mean."""

import re
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.probes.names import CAPABILITIES, capabilities, signal_name


def test_every_capability_that_this_kernel_knows_has_its_name() -> None:
    header = Path("/usr/include/linux/capability.h")
    if not header.exists():
        pytest.skip("no kernel headers for user space (linux-libc-dev)")
    defined = dict(re.findall(r"^#define (CAP_[A-Z_]+)\s+(\d+)$", header.read_text(), re.MULTILINE))
    assert {name: int(number) for name, number in defined.items()} == {
        name: bit for bit, name in enumerate(CAPABILITIES)
    }
    assert int(Path("/proc/sys/kernel/cap_last_cap").read_text()) < len(CAPABILITIES)


@given(st.sets(st.integers(0, 63)))
def test_each_bit_is_one_word_in_the_order_of_bits(bits: set[int]) -> None:
    words = capabilities(sum(1 << bit for bit in bits))
    assert len(words) == len(bits)
    assert [CAPABILITIES.index(word) if word.startswith("CAP_") else int(word) for word in words] == sorted(bits)


@pytest.mark.parametrize("number", range(1, 65))
def test_a_signal_is_called_what_the_shell_calls_it(number: int) -> None:
    if number in (32, 33):  # the C library keeps them for itself
        assert signal_name(number) == str(number)
        return
    called = subprocess.run(["bash", "-c", f"kill -l {number}"], capture_output=True, text=True, check=True)
    base, _, back = f"SIG{called.stdout.strip()}".partition("-")
    expected = f"SIGRTMIN+{signal.SIGRTMAX - int(back) - signal.SIGRTMIN}" if back else base
    assert signal_name(number) == expected


@pytest.mark.parametrize("number", [0, 65, 127, 255])
def test_what_is_no_signal_stays_a_number(number: int) -> None:
    assert signal_name(number) == str(number)
