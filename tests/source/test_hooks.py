"""Which hook is taken, and how it is told."""

import pytest

from exporter.model import Hook, Kind
from exporter.source.hooks import Better, choose, described, told

SECTIONS = {
    "on_open": "fexit/do_filp_open",
    "on_unlink": "fentry/security_path_unlink",
    "on_rmdir": "fentry/security_path_rmdir",
    "on_open_call": "tp_btf/sys_exit",
    "on_call": "tp_btf/sys_exit",
}
BEST = Hook(programs=("on_open",))
ELSE = Hook(handler="on_open_call", calls=("open", "openat"))
OPEN = Kind(name="file.open", hooks=(BEST, ELSE))


@pytest.mark.parametrize(
    ("hook", "text"),
    [
        (BEST, "fexit/do_filp_open"),
        (ELSE, "sys_exit: open openat"),
        (Hook(programs=("on_unlink", "on_rmdir")), "fentry/security_path_unlink fentry/security_path_rmdir"),
        (
            Hook(programs=("on_unlink",), handler="on_unlink_call", calls=("unlink",)),
            "fentry/security_path_unlink + sys_exit: unlink",
        ),
    ],
)
def test_a_hook_as_text(hook: Hook, text: str) -> None:
    assert described(hook, SECTIONS) == text


def test_the_best_hook_is_taken_where_nothing_stands_against_it() -> None:
    (probe,) = told(choose([OPEN], lambda _program: ""), SECTIONS)
    assert (probe.type, probe.hook, probe.reason, probe.better) == ("file.open", "fexit/do_filp_open", "", ())
    assert probe.programs == ("on_open",)


def test_a_better_hook_that_cannot_be_had_is_told_with_the_reason() -> None:
    (probe,) = told(choose([OPEN], {"on_open": "no trampolines"}.get), SECTIONS)  # type: ignore[arg-type]
    assert (probe.hook, probe.reason) == ("sys_exit: open openat", "")
    assert probe.better == (Better("fexit/do_filp_open", "no trampolines"),)
    assert probe.programs == ("on_call",)


def test_what_cannot_be_seen_says_why_each_reason_once() -> None:
    both = {"on_open": "no trampolines", "on_open_call": "no trampolines"}
    (probe,) = told(choose([OPEN], lambda program: both.get(program, "")), SECTIONS)
    assert (probe.hook, probe.reason, probe.programs) == ("", "no trampolines", ())
    (other,) = told(choose([OPEN], {"on_open": "one", "on_call": "two"}.get), SECTIONS)  # type: ignore[arg-type]
    assert other.reason == "one; two"
