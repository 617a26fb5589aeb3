"""Which kernel a series is, which modules bring a machine its root."""

from pathlib import Path

import pytest

from tests.machines.initrd import load_order
from tests.machines.kernels import KernelUnavailableError, newest, release_lines

OFFERED = [
    "linux-image-6.1.0-9-amd64",
    "linux-image-6.1.0-56-amd64",
    "linux-image-6.1.0-57-cloud-amd64",
    "linux-image-6.1.0-57-rt-amd64",
    "linux-image-6.12.99+deb12-amd64",
    "linux-image-6.12.117+deb12-amd64",
    "linux-image-6.12-amd64",
]


@pytest.mark.parametrize(
    ("series", "package"), [("6.1", "linux-image-6.1.0-56-amd64"), ("6.12", "linux-image-6.12.117+deb12-amd64")]
)
def test_the_newest_of_a_series_is_the_one_with_the_highest_number(series: str, package: str) -> None:
    assert newest(series, OFFERED) == package


def test_a_series_that_nobody_offers_is_an_error_that_names_it() -> None:
    with pytest.raises(KernelUnavailableError, match=r"6\\\.12"):
        newest("6.12", OFFERED[:4])


def test_on_another_release_of_debian_its_mirrors_are_asked_for_ours() -> None:
    shown = (
        "Debian trixie http://mirror.example/debian/\nDebian trixie-updates http://mirror.example/debian/\n"
        "Debian trixie-security http://mirror.example/debian-security/\nSomebody stable http://other.example/apt/\n"
    )
    assert [line.partition("] ")[2] for line in release_lines(shown)] == [
        "http://mirror.example/debian/ bookworm main",
        "http://mirror.example/debian-security/ bookworm-security main",
    ]


def test_where_no_mirror_is_debians_it_says_so() -> None:
    with pytest.raises(KernelUnavailableError, match="no mirror of Debian's"):
        release_lines("Ubuntu noble http://other.example/ubuntu/\n")


def test_a_module_is_loaded_after_what_it_needs_and_what_is_built_in_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "modules.dep").write_text(
        "fs/9p/9p.ko.xz: net/9p/9pnet.ko.xz fs/netfs/netfs.ko.xz fs/fscache.ko.xz\n"
        "net/9p/9pnet_virtio.ko.xz: net/9p/9pnet.ko.xz\n"
        "net/9p/9pnet.ko.xz:\n"
        "drivers/virtio/virtio-pci.ko.xz:\n"
    )
    order = load_order(tmp_path, ["virtio_pci", "overlay", "9p", "9pnet_virtio"])
    assert [path.name.partition(".")[0] for path in order] == [
        "virtio-pci",
        "fscache",
        "netfs",
        "9pnet",
        "9p",
        "9pnet_virtio",
    ]
