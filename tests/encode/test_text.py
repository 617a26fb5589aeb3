"""Lines for people, who must be able to trust their terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Batch, FieldFilter
from exporter.encode.text import TextEncoder
from exporter.encode.text_safe import SHOWN
from exporter.model import Event, Field, Kind, Process, Resource
from exporter.probes import TOLD
from exporter.shape import fields
from tests.encode import observed
from tests.encode.events import make_stream

ENTITIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of characters that do something instead of showing something."""


def encoder(*filters: FieldFilter, timestamps: bool = False, **limits: int) -> TextEncoder:
    keep = fields.compile(filters, TOLD, where="")
    return TextEncoder(TOLD, keep, Batch(**limits), "node-1", make_stream(), timestamps=timestamps)


def lines(text: TextEncoder, *events: Event) -> str:
    return b"".join(payload.data for payload in (*text.encode(events), *text.flush())).decode()


@pytest.fixture
def curl() -> Process:
    return observed.process(observed.pod(), "/usr/bin/curl", "https://ebpf.io/applications/#tetragon")


def test_a_life_reads_like_tetragons_compact_output(curl: Process) -> None:
    events = (
        observed.event("process.fork", curl),
        observed.event("process.exec", curl),
        observed.event("process.exit", curl, code=0),
    )
    assert lines(encoder(), *events) == (
        "🌱 fork    default/xwing /usr/bin/curl https://ebpf.io/applications/#tetragon\n"
        "🚀 process default/xwing /usr/bin/curl https://ebpf.io/applications/#tetragon\n"
        "💥 exit    default/xwing /usr/bin/curl https://ebpf.io/applications/#tetragon 0\n"
    )


@pytest.mark.parametrize(("signal", "shown"), [("SIGKILL", "SIGKILL"), (15, "SIGTERM"), (0, "137")])
def test_a_killed_process_exits_with_its_signal(curl: Process, signal: str | int, shown: str) -> None:
    line = lines(encoder(), observed.event("process.exit", curl, code=137, signal=signal))
    assert line.endswith(f"tetragon {shown}\n")


@pytest.mark.parametrize(
    ("resource", "place"),
    [
        (observed.pod(), "default/xwing"),
        (observed.pod("k8s.namespace.name", "k8s.pod.name"), "node-1/3f1b00000000"),
        (observed.host(), "node-1"),
        (Resource({}), "node-1"),
    ],
)
def test_a_line_says_where(resource: Resource, place: str) -> None:
    process = observed.process(resource, "/bin/ls", "-l")
    assert lines(encoder(), observed.event("process.exec", process)) == f"🚀 process {place} /bin/ls -l\n"


def test_a_line_can_begin_with_the_time(curl: Process) -> None:
    line = lines(encoder(timestamps=True), observed.event("process.exec", curl, time=1795166102114999999))
    assert line.startswith("2026-11-20T09:15:02.114Z 🚀 process default/xwing ")


@pytest.mark.parametrize(
    ("hidden", "line"),
    [
        ("process.command_args", "💥 exit    default/xwing /usr/bin/curl 3\n"),
        ("process.executable.path", "💥 exit    default/xwing -s 3\n"),
        ("process.exit.code", "💥 exit    default/xwing /usr/bin/curl -s\n"),
        ("k8s.namespace.name", "💥 exit    xwing /usr/bin/curl -s 3\n"),
        ("k8s.*", "💥 exit    node-1/3f1b00000000 /usr/bin/curl -s 3\n"),
        ("[kc]*", "💥 exit    node-1 /usr/bin/curl -s 3\n"),
        ("*", "💥 exit    node-1\n"),
    ],
)
def test_filtered_fields_are_not_shown(hidden: str, line: str) -> None:
    process = observed.process(observed.pod(), "/usr/bin/curl", "-s")
    text = encoder(FieldFilter(exclude=(hidden,)))
    assert lines(text, observed.event("process.exit", process, code=3)) == line


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("plain", "plain"),
        ("söme-ünïcode🚀", "söme-ünïcode🚀"),
        ("C:\\x1b", "C:\\x1b"),
        ("", '""'),
        ("two words", '"two words"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("\x1b[31mred", '"\\x1b[31mred"'),
        ("\x1b \\x1b", '"\\x1b \\\\x1b"'),
        ("a\nb\r\tc\0", '"a\\nb\\r\\tc\\x00"'),
        ("\x7f\x85\x9b31m", '"\\x7f\\x85\\x9b31m"'),
        ("a\u2028b\u2029c", '"a\\u2028b\\u2029c"'),
        ("\u202egnp.exe\u2066", '"\\u202egnp.exe\\u2066"'),
        ("zero\u200bwidth\ufeff", '"zero\\u200bwidth\\ufeff"'),
        ("nbsp\u00a0", '"nbsp\\xa0"'),
        ("\udc80", '"\\udc80"'),
    ],
)
def test_what_does_something_to_a_terminal_is_spelled_out(argument: str, shown: str) -> None:
    process = observed.process(observed.host(), "/bin/echo", argument)
    assert lines(encoder(), observed.event("process.exec", process)) == f"🚀 process node-1 /bin/echo {shown}\n"


HOSTILE = st.text(st.characters(codec=None) | st.sampled_from("\x1b\n\r\x9b\u202e\u2028\0\"' "))


@given(binary=HOSTILE, arguments=st.lists(HOSTILE), pod=HOSTILE, container=HOSTILE, signal=HOSTILE)
def test_nothing_observed_breaks_a_line_or_reaches_the_terminal_as_a_command(
    binary: str, arguments: list[str], pod: str, container: str, signal: str
) -> None:
    resource = Resource({"k8s.namespace.name": pod, "k8s.pod.name": pod, "container.id": container})
    process = observed.process(resource, binary, *arguments)
    for event in (observed.event("process.exec", process), observed.event("process.exit", process, signal=signal)):
        line = lines(encoder(timestamps=True), event)
        assert line[-1] == "\n"
        assert not {unicodedata.category(character) for character in line[:-1]} & ENTITIES


def test_long_arguments_are_cut(curl: Process) -> None:
    process = observed.process(observed.host(), "/bin/echo", "a" * 300, "b" * 300, "c")
    line = lines(encoder(), observed.event("process.exec", process))
    assert line == f"🚀 process node-1 /bin/echo {'a' * 300} {'b' * (SHOWN - 301)}… …\n"


@given(
    st.lists(st.sampled_from(("a", "\x1b", "\U000e0001", "")).flatmap(lambda c: st.integers(0, 2000).map(c.__mul__)))
)
def test_a_line_is_bounded_whatever_is_in_it(arguments: list[str]) -> None:
    process = observed.process(Resource({"k8s.pod.name": "\x1b" * 5000}), "\n" * 5000, *arguments)
    assert len(lines(encoder(), observed.event("process.exec", process))) < 3 * (SHOWN + 10) + 20


def test_other_events_show_their_values(curl: Process) -> None:
    opened = Kind(
        name="file.open",
        program="file",
        ring="activity",
        fields=(Field("path", "file.path"), Field("flags", "podwitness.file.flags"), Field("inode", "file.inode")),
        carries=(),
    )
    keep = {"file.open": lambda name: name != "file.inode"}
    text = TextEncoder([opened], keep, Batch(), "n", make_stream(), timestamps=False)
    event = observed.event("process.fork", curl)
    event.kind, event.values = opened, ("/etc/pass wd", ("O_RDWR", "O_CREAT"), 7)
    assert lines(text, event).endswith(' "/etc/pass wd" O_RDWR,O_CREAT\n')
    assert lines(text, event).startswith("📬 open    default/xwing /usr/bin/curl ")


def test_of_a_burst_the_line_says_how_often(curl: Process) -> None:
    path = "/etc/" + "x" * 5000
    assert lines(encoder(), observed.event("file.open", curl, path=path, count=23)).endswith("… ×23\n")
    assert "×" not in lines(encoder(), observed.event("file.open", curl, path=path))


def test_lines_keep_their_order_and_fill_batches(curl: Process) -> None:
    other = observed.process(observed.host(), "/bin/ls")
    text = encoder(max_records=2)
    events = [observed.event("process.exec", process) for process in (curl, other, curl, other, curl)]
    full = list(text.encode(events))
    assert [payload.records for payload in full] == [2, 2]
    assert text.pending == 1
    rest = list(text.flush())
    assert [payload.records for payload in rest] == [1]
    assert text.pending == 0
    assert not list(text.flush())
    whole = b"".join(payload.data for payload in full + rest).decode().splitlines()
    assert ["ls" in line for line in whole] == [False, True, False, True, False]
