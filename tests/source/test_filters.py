"""Rules of the settings as entries of the kernel's maps."""

import ctypes
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import CgroupPaths, Observe
from exporter.source import filters
from exporter.source.libbpf import Object, library
from exporter.source.programs import objects_directory


@pytest.mark.parametrize(
    ("path", "matched"),
    [
        ("/etc/", {"/etc/passwd", "/etc/ssl/cert"}),
        ("/etc", set()),
        ("/etc*", {"/etc/passwd", "/etc/ssl/cert", "/etcetera"}),
        ("/etcetera", {"/etcetera"}),
        ("/*", {"/etc/passwd", "/etc/ssl/cert", "/etcetera"}),
    ],
)
def test_a_path_is_a_prefix_as_it_is_written(path: str, matched: set[str]) -> None:
    key = filters.text_prefix(path)
    (bits,) = struct.unpack_from("<I", key)
    prefix = key[4 : 4 + bits // 8]
    known = ("/etc/passwd", "/etc/ssl/cert", "/etcetera")
    assert {one for one in known if (one.encode() + b"\0").startswith(prefix)} == matched


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60))
def test_every_path_has_a_key_of_the_map_s_size(rest: str) -> None:
    key = filters.text_prefix(f"/{rest}")
    assert len(key) == 260
    assert struct.unpack_from("<I", key)[0] <= 256 * 8


@pytest.mark.parametrize(
    ("network", "bits", "address"),
    [
        ("10.0.0.0/8", 104, "00000000000000000000ffff0a000000"),
        ("10.1.2.3", 128, "00000000000000000000ffff0a010203"),
        ("fd00::/8", 8, "fd000000000000000000000000000000"),
        ("0.0.0.0/0", 96, "00000000000000000000ffff00000000"),
    ],
)
def test_an_ipv4_network_is_one_in_ipv6_form(network: str, bits: int, address: str) -> None:
    assert filters.address_prefix(network) == struct.pack("<I", bits) + bytes.fromhex(address)


class Rules:
    """The real maps, with nothing attached."""

    def __init__(self) -> None:
        self.object = Object(objects_directory() / "snapshot.bpf.o")
        self.object.load()
        self.maps = {name: self.object.map_fd(name) for name in filters.MAPS}

    def verdict(self, cgroup: Path) -> int:
        """What the rule says, 0 where there is none."""
        value = ctypes.create_string_buffer(1)
        key = struct.pack("<Q", cgroup.stat().st_ino)
        library().bpf_map_lookup_elem(self.maps["cgroup_rules"], key, value)
        return value.raw[0]

    def close(self) -> None:
        self.object.close()


@pytest.fixture
def rules() -> Iterator[Rules]:
    with closing(Rules()) as opened:
        yield opened


@pytest.mark.kernel
def test_a_cgroup_has_its_rule_as_soon_as_it_is_there_and_again_when_it_is_made_again(
    tmp_path: Path, rules: Rules
) -> None:
    observe = Observe(cgroups=CgroupPaths(include=("/pods",), exclude=("/pods/noisy",)))
    applied = filters.Filters(observe, tmp_path, rules.maps)
    applied.write()
    (tmp_path / "pods" / "noisy").mkdir(parents=True)
    applied.apply()
    assert [rules.verdict(tmp_path / "pods"), rules.verdict(tmp_path / "pods" / "noisy")] == [1, 2]
    (tmp_path / "pods" / "noisy").rename(tmp_path / "old")
    (tmp_path / "pods" / "noisy").mkdir()
    applied.apply()
    assert rules.verdict(tmp_path / "pods" / "noisy") == 2
    assert rules.verdict(tmp_path / "old") == 0
