"""The binding of libbpf where something is wrong; what goes right is seen in tests/kernel."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import KernelError
from exporter.source import descriptors
from exporter.source.libbpf import Object, telling
from exporter.source.programs import objects_directory

ENDLESS = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("raw_tracepoint/sched_process_exit") int endless(void *context) { for (;;) bpf_ktime_get_ns(); }
char gpl[] SEC("license") = "GPL";
"""
NOWHERE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("raw_tracepoint/no_such_tracepoint") int nowhere(void *context) { return 0; }
char gpl[] SEC("license") = "GPL";
"""


def compiled(source: str, folder: Path, *flags: str) -> Path:
    output = folder / "test.bpf.o"
    include = "/usr/include/x86_64-linux-gnu"
    command = [
        "clang",
        "-O2",
        "-target",
        "bpf",
        "-mcpu=v3",
        "-I",
        include,
        *flags,
        "-x",
        "c",
        "-c",
        "-",
        "-o",
        str(output),
    ]
    subprocess.run(command, input=source, text=True, check=True)
    return output


def test_a_missing_object_says_where_it_should_be_and_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(KernelError) as caught:
        Object(tmp_path / "process.bpf.o")
    again = "build it again with `make setup`, or install podwitness again"
    assert str(caught.value) == f"{tmp_path}/process.bpf.o: is missing ({again})"


@pytest.mark.parametrize("path", [Path("/bin/true"), Path(__file__), Path("/tmp")], ids=["ELF", "text", "folder"])
def test_what_is_no_bpf_object_is_refused_in_libbpfs_words(path: Path) -> None:
    with pytest.raises(KernelError, match=f"^{path}: cannot be opened: .*libbpf: ") as caught:
        Object(path)
    assert "Unknown error" not in str(caught.value)


def test_an_object_without_type_information_is_an_error_and_no_crash(tmp_path: Path) -> None:
    opened = Object(compiled("int x;", tmp_path))
    with pytest.raises(KernelError, match="has no type information"):
        opened.btf()
    opened.close()


def test_an_unknown_map_is_named(tmp_path: Path) -> None:
    opened = Object(compiled("int x;", tmp_path, "-g"))
    with pytest.raises(KernelError, match="has no map lifecycle"):
        opened.set_size("lifecycle", 4096)
    opened.close()


def test_closing_twice_does_no_harm() -> None:
    opened = Object(objects_directory() / "process.bpf.o")
    opened.close()
    opened.close()


def test_an_error_does_not_tell_the_story_of_the_one_before() -> None:
    with pytest.raises(KernelError):
        Object(Path("/bin/true"))
    with pytest.raises(KernelError) as caught:
        descriptors.lookup(-1, 0, 8)
    assert str(caught.value) == "map fd -1: bpf_map_lookup_elem: Bad file descriptor"


def test_what_is_no_map_has_no_id() -> None:
    with pytest.raises(KernelError, match="fd -1: bpf_obj_get_info_by_fd"):
        descriptors.map_id(-1)


@pytest.mark.kernel
def test_a_program_that_the_verifier_refuses_is_an_error_with_the_verifiers_reason(tmp_path: Path) -> None:
    opened = Object(compiled(ENDLESS, tmp_path, "-g"))
    with pytest.raises(KernelError, match=r"cannot be loaded: Invalid argument: .*infinite loop"):
        opened.load()
    opened.close()


BEYOND = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); }
    numbers SEC(".maps");
SEC("raw_tracepoint/sched_process_exit") int beyond(void *context) {
    __u32 key = 0; __u64 *found = bpf_map_lookup_elem(&numbers, &key);
    return found ? found[7] : 0;
}
char gpl[] SEC("license") = "GPL";
"""


@pytest.mark.kernel
def test_what_the_verifier_refuses_is_one_line_and_its_whole_log_is_there_for_those_who_ask(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG", "podwitness")
    opened = Object(compiled(BEYOND, tmp_path, "-g"))
    with pytest.raises(KernelError) as caught:
        opened.load()
    opened.close()
    assert (
        caught.value.what == "cannot be loaded: Permission denied: R0 min value is outside of the allowed memory range"
    )
    assert "BEGIN PROG LOAD LOG" in caplog.text
    assert "processed " in caplog.text
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (("0: (85) call bpf_ktime_get_ns#5", "infinite loop detected at insn 0", "cur state: R1=ctx()"), 1),
        (("invalid access to map value, value_size=8 off=56 size=8", "R0 min value is outside of the range"), 1),
        (("BPF program is too large. Processed 1000001 insn", "verification time 12 usec", "stack depth 0"), 0),
        (("R2 unbounded memory access, use 'var &= const'",), 0),
        (("; return 1; @ x.c:3", "R1=ctx() R10=fp0", "mark_precise: frame0: last_idx 3", "R1 type=inv expected=fp"), 3),
    ],
)
def test_of_a_verifiers_log_the_line_is_told_that_says_what_is_wrong(lines: tuple[str, ...], told: int) -> None:
    log = "".join(f"{line}\n" for line in (*lines, "processed 3 insns (limit 1000000) max_states_per_insn 0"))
    for end in ("-- END PROG LOAD LOG --\nlibbpf: prog 'x': failed to load: -22\n", ""):  # cut where it is too long
        before = "libbpf: prog 'x': BPF program load failed: Invalid argument\n"
        assert telling(f"{before}libbpf: prog 'x': -- BEGIN PROG LOAD LOG --\n{log}{end}") == lines[told]


@given(st.text())
def test_whatever_was_said_at_most_one_line_of_it_is_told(said: str) -> None:
    assert len(telling(said).splitlines()) <= 1


@pytest.mark.kernel
def test_a_hook_that_this_kernel_does_not_have_is_an_error_that_names_the_program(tmp_path: Path) -> None:
    opened = Object(compiled(NOWHERE, tmp_path, "-g"))
    opened.load()
    with pytest.raises(KernelError, match=r"program nowhere cannot be attached: .*\(this kernel has no such hook\)"):
        opened.attach(opened.sections().keys())
    opened.close()
