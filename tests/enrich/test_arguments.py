"""Arguments on a record: redacted, then cut to size, and every cut told."""

from hypothesis import given
from hypothesis import strategies as st

from exporter import config
from exporter.enrich.arguments import Arguments, shorten
from exporter.model import Value


def attributes(args: tuple[str, ...], *, each: int = 100, total: int = 1000, **facts: Value) -> dict[str, Value]:
    settings = config.Arguments(max_bytes=each, max_total_bytes=total)
    found: dict[str, Value] = {"args": args, "args_whole": len(args)}
    found.update(facts)
    return Arguments(lambda raw: raw, settings).attributes(found)


def test_all_of_a_short_command_line_is_told_and_nothing_is_marked() -> None:
    assert attributes(("sh", "-c", "ls")) == {
        "process.command": "sh",
        "process.command_args": ("sh", "-c", "ls"),
        "process.args_count": 3,
    }


def test_an_argument_that_is_too_long_is_cut_and_marked() -> None:
    told = attributes(("sh", "x" * 101, "y"))
    assert told["process.command_args"] == ("sh", "x" * 100, "y")
    assert told["podwitness.process.args.truncated"] is True
    assert told["podwitness.process.args.truncated_indexes"] == (1,)


def test_all_arguments_together_have_a_limit_and_the_true_count_stays() -> None:
    told = attributes(tuple(["x" * 100] * 20), total=250)
    assert told["process.command_args"] == ("x" * 100, "x" * 100, "x" * 50)
    assert told["process.args_count"] == 20
    assert told["podwitness.process.args.truncated"] is True
    assert told["podwitness.process.args.truncated_indexes"] == (2,)


def test_what_the_kernel_cut_is_marked_too() -> None:
    told = attributes(("sh", "begin"), args_whole=1, **{"process.args_count": 9})
    assert told["podwitness.process.args.truncated_indexes"] == (1,)
    assert told["process.args_count"] == 9


def test_redaction_comes_before_the_cut() -> None:
    redact = Arguments(
        lambda args: tuple(arg.replace("hunter2", "*****") for arg in args), config.Arguments(max_bytes=10)
    )
    told = redact.attributes({"args": ("x", "pw=hunter2hunter2"), "args_whole": 2})
    assert told["process.command_args"] == ("x", "pw=*****" + "**")


def test_no_arguments_are_no_attributes() -> None:
    assert attributes(()) == {}


@given(st.text(), st.integers(1, 50))
def test_a_shortened_text_fits_and_begins_the_same(value: str, limit: int) -> None:
    short = shorten(value, limit)
    assert len(short.encode()) <= limit
    assert value.startswith(short)


@given(st.lists(st.text(max_size=40), min_size=1).map(tuple), st.integers(1, 60), st.integers(1, 200))
def test_the_limits_hold_for_any_arguments(args: tuple[str, ...], each: int, total: int) -> None:
    told = attributes(args, each=each, total=total)
    kept = told["process.command_args"]
    assert isinstance(kept, tuple)
    assert sum(len(str(arg).encode()) for arg in kept) <= total
    if kept != args:
        assert told["podwitness.process.args.truncated"] is True


def refused(args: tuple[str, ...], **facts: Value) -> tuple[Value | None, ...]:
    settings = config.Arguments(max_bytes=100, max_total_bytes=250)
    found: dict[str, Value] = {"args": args, "args_whole": len(args), "process.args_count": len(args), **facts}
    return Arguments(lambda raw: tuple(arg.replace("hunter2", "*****") for arg in raw), settings).refused(found)


def test_of_an_exec_that_failed_the_arguments_are_redacted_cut_and_counted_too() -> None:
    assert refused(("client", "--password=hunter2")) == (("client", "--password=*****"), 2, None)
    assert refused(("a", "x" * 101)) == (("a", "x" * 100), 2, True)
    assert refused(()) == (None, 0, None)


def test_what_the_kernel_could_not_read_or_count_is_said() -> None:
    assert refused(("a", ""), args_missing=True) == (("a", ""), 2, True)
    assert refused(("a", "b"), args_whole=1) == (("a", "b"), 2, True)
    assert refused(("a",), args_missing=True, args_uncounted=True) == (("a",), None, True)


@given(st.lists(st.text(max_size=300), max_size=20).map(tuple))
def test_nothing_of_a_refused_exec_is_cut_unsaid(args: tuple[str, ...]) -> None:
    told, count, missing = refused(args)
    assert count == len(args)
    assert missing is (None if (told or ()) == args else True)
