"""The display line is logfmt that Loki reads back, whatever the observed program wrote."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.encode import body
from exporter.model import Kind, Value
from exporter.probes.file import FILE_OPEN
from exporter.probes.network import NETWORK_CONNECT
from exporter.probes.process import PROCESS_EXEC
from tests.encode.events import TOUCH, texts, values


def read(line: str) -> dict[str, str]:
    """A line's pairs by the rules of Loki's parser (pkg/logql/log/logfmt), whose escapes are those of JSON."""
    word, rest = re.fullmatch(r"([a-z]+)((?: .*)?)", line, re.DOTALL).groups()  # type: ignore[union-attr]
    pairs = re.findall(r' ([a-z]+)=("(?:[^"\\]|\\.)*"|[^\x00-\x20"=]+)', rest, re.DOTALL)
    assert "".join(f" {key}={value}" for key, value in pairs) == rest, "something stands between the pairs"
    assert word
    return {key: json.loads(value) if value.startswith('"') else value for key, value in pairs}


def test_an_exec_reads_as_people_expect() -> None:
    line = body.render(
        PROCESS_EXEC,
        {
            "process.pid": 41822,
            "process.parent_pid": 1,
            "process.user.id": 0,
            "process.command_args": ("bash", "-c", "id"),
        },
    )
    assert line == 'exec pid=41822 ppid=1 user=0 args="bash -c id"'


@pytest.mark.parametrize(("kind", "key"), [(FILE_OPEN, "path"), (NETWORK_CONNECT, "peer")])
def test_of_a_burst_the_line_says_how_often(kind: Kind, key: str) -> None:
    known: dict[str, Value] = {dict(kind.body)[key]: "x", "podwitness.aggregate.count": 23}
    assert body.render(kind, known) == f"{body.word(kind)} {key}=x count=23"


def test_what_is_not_known_is_not_there() -> None:
    assert body.render(PROCESS_EXEC, {"process.pid": 7}) == "exec pid=7"
    assert body.render(PROCESS_EXEC, {}) == "exec"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain/path-1.txt", "plain/path-1.txt"),
        ("", '""'),
        ("a b", '"a b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("a=b", '"a=b"'),
        (r"a\xff", r"a\xff"),
        (r"a \xff", r'"a \\xff"'),
        ("line\nbreak\ttab\rreturn", r'"line\nbreak\ttab\rreturn"'),
        ("\x1b[31mred\x7f", r'"\u001b[31mred\u007f"'),
        ("\u202etxt.exe", r'"\u202etxt.exe"'),
        ("\udcff", r'"\udcff"'),
        ("naïve/路径", "naïve/路径"),
        ("\u3000", '"\u3000"'),
        (True, "true"),
        (False, "false"),
        (-5, "-5"),
        (1.5, "1.5"),
        ((1, 2), '"1 2"'),
        ((), '""'),
        (("one",), "one"),
    ],
)
def test_a_value_is_quoted_only_where_it_must_be(value: Value, written: str) -> None:
    assert body.pair("key", value) == f" key={written}"


def test_a_long_value_is_cut_and_says_so() -> None:
    assert body.pair("args", "x" * 1024) == " args=" + "x" * 1024
    assert body.pair("args", "x" * 1025) == " args=" + "x" * 1024 + "…"
    assert body.pair("args", ("x " * 5000,)) == ' args="' + "x " * 512 + '…"'


@given(st.dictionaries(st.sampled_from([name for _, name in TOUCH.body]), values | texts))
def test_every_value_reads_back_and_none_breaks_out_of_its_place(attributes: dict[str, Value]) -> None:
    line = body.render(TOUCH, attributes)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]", line)
    found = read(line)
    assert found.keys() == {key for key, name in TOUCH.body if name in attributes}
    for key, name in TOUCH.body:
        value = attributes.get(name)
        if isinstance(value, str):
            assert found[key] == value


@given(values, values, values)
def test_the_template_filled_in_is_the_line(first: Value, second: Value, third: Value) -> None:
    kind = Kind(
        name="a.b", program="", ring="activity", fields=(), carries=(), body=(("x", "x"), ("y", "y"), ("z", "z"))
    )

    def text(value: str) -> bytes:
        return value.encode()

    template = body.template(kind.body, {"x": first, "z": third}, {"y"}, text)
    line = b"b" + template % text(body.pair("y", second))
    assert line.decode() == body.render(kind, {"x": first, "y": second, "z": third})
