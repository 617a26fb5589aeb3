"""`podwitness verify`: what is missing is named, with its reason if one is stated; so is what was touched."""

import gzip
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.encode.chain import linked
from exporter.encode.reading import told_of_line
from exporter.errors import ConfigError
from exporter.model import Stream
from exporter.verify.checking import COMPLETE, INCOMPLETE, UNUSABLE, Checking, verify
from exporter.verify.sources import Line, Place
from tests.verify.shipped import Form, Node, make_key, set_number, set_text

FORMS = pytest.mark.parametrize("form", ["otlp", "flat"])


def found(*files: Path, key: Path | None = None) -> tuple[int, dict[str, Any]]:
    """Exit code, and the one stream there is."""
    code, text = verify(files, key=key, spool=None, as_json=True)
    (stream,) = json.loads(text)["streams"]
    return code, stream


def told(*files: Path, key: Path | None = None) -> str:
    return verify(files, key=key, spool=None, as_json=False).text


@FORMS
def test_a_whole_stream_is_complete(form: Form, tmp_path: Path) -> None:
    file = Node(form).touch(95).stop().write(tmp_path / "a.json")
    code, stream = found(file)
    assert code == COMPLETE
    assert (stream["records"], stream["first"], stream["last"], stream["end"]) == (96, 1, 96, "stopped")
    assert (stream["duplicates"], stream["missing"], stream["faults"]) == (0, [], [])
    assert "complete" in told(file)


@FORMS
def test_files_come_in_any_order_compressed_or_not(form: Form, tmp_path: Path) -> None:
    node = Node(form).touch(95).stop()
    files = []
    for at in range(0, len(node.lines), 3):
        path = tmp_path / f"a.json.{at}.gz"
        data = b"".join(node.lines[at : at + 3])
        path.write_bytes(gzip.compress(data) if at % 2 else data)
        files.append(path)
    random.Random(1).shuffle(files)
    code, stream = found(*files)
    assert (code, stream["records"]) == (0, 96)
    if form == "otlp":  # Fluent ships each tag by itself
        assert stream["disordered"] == 0


@FORMS
def test_what_was_sent_again_is_counted_and_harmless(form: Form, tmp_path: Path) -> None:
    node = Node(form).touch(50).flush()
    node.lines += node.lines[2:4]
    again = 20 if form == "otlp" else 2
    code, stream = found(node.write(tmp_path / "a.json"))
    assert (code, stream["duplicates"], stream["records"], stream["end"]) == (0, again, 50, "open")


@FORMS
def test_a_line_removed_by_hand_is_named_by_its_numbers_and_its_neighbours(form: Form, tmp_path: Path) -> None:
    node = Node(form).touch(50).flush()
    node.alter(23, lambda _record: None)
    node.alter(24, lambda _record: None)
    file = node.write(tmp_path / "a.json")
    code, stream = found(file)
    assert code == INCOMPLETE
    assert stream["missing"] == [
        {
            "first": 23,
            "last": 24,
            "explained": False,
            "after": f"{file}:{node.place(22)}",
            "before": f"{file}:{node.place(25)}",
        }
    ]
    assert f"MISSING 23-24: after 22 at {file}:" in told(file)


@FORMS
def test_what_is_stated_as_lost_is_explained_and_no_more_than_that(form: Form, tmp_path: Path) -> None:
    node = Node(form).touch(40)
    node.lose(((11, 14), (17, 17)), 9).touch(5).flush()
    for number in (11, 12, 13, 14, 15, 17, 18):
        node.alter(number, lambda _record: None)
    file = node.write(tmp_path / "a.json")
    code, stream = found(file)
    pieces = [(gap["first"], gap["last"], gap["explained"]) for gap in stream["missing"]]
    assert pieces == [(11, 14, True), (15, 15, False), (17, 17, True), (18, 18, False)]
    assert {gap.get("reason") for gap in stream["missing"]} == {"queue_full", None}
    assert stream["missing"][0]["stated_at"] == f"{file}:{node.place(41)}"
    assert [(one["reason"], one["count"]) for one in stream["lost"]] == [("queue_full", 4)]  # spans have no numbers
    assert code == 1


@FORMS
def test_losses_that_never_had_a_number_are_listed_and_a_stream_with_them_is_complete(
    form: Form, tmp_path: Path
) -> None:
    node = Node(form).touch(3).lose((), 7, "ring_full").lose((), 5, "ring_full").lose((), None, "spool_corrupt").flush()
    code, stream = found(node.write(tmp_path / "a.json"))
    assert code == 0
    assert [(one["reason"], one["count"]) for one in stream["lost"]] == [("ring_full", 12), ("spool_corrupt", None)]
    assert stream["lost"][0]["since"].startswith("2001-")


def test_a_beginning_that_is_not_there_is_missing(tmp_path: Path) -> None:
    node = Node().touch(50).flush()
    del node.lines[:2]
    file = node.write(tmp_path / "a.json")
    code, stream = found(file)
    assert (code, [(gap["first"], gap["last"]) for gap in stream["missing"]]) == (1, [(1, 20)])
    assert "begins at 21" in told(file)


def test_streams_of_several_nodes_and_sinks_in_one_file_are_told_apart(tmp_path: Path) -> None:
    one, two = Node().touch(30).flush(), Node(stream=Stream("loki", "other")).touch(20).flush()
    two.alter(7, lambda _record: None)
    path = tmp_path / "a.json"
    path.write_bytes(b"".join(line for pair in zip(one.lines, [*two.lines, b"\n"], strict=True) for line in pair))
    code, text = verify([path], key=None, spool=None, as_json=True)
    streams = {stream["sink"]: (stream["complete"], stream["records"]) for stream in json.loads(text)["streams"]}
    assert (code, streams) == (1, {"files": (True, 30), "loki": (False, 19)})


@FORMS
def test_a_number_with_two_uids_is_a_conflict(form: Form, tmp_path: Path) -> None:
    node, other = Node(form).touch(20).flush(), Node(form).touch(20).flush()
    other.alter(7, lambda record: set_text(record, "log.record.uid", "boot-1-ffff"))
    node.lines.append(other.lines[other.place(7) - 1])
    file = node.write(tmp_path / "a.json")
    code, stream = found(file)
    assert (code, stream["fault_count"]) == (1, 1)
    (fault,) = stream["faults"]
    assert (fault["sequence"], fault["uid"], fault["place"]) == (7, "boot-1-ffff", f"{file}:{len(node.lines)}")


@FORMS
def test_a_uid_with_two_numbers_is_found_and_placed(form: Form, tmp_path: Path) -> None:
    node = Node(form).touch(20).flush()
    node.alter(17, lambda record: set_text(record, "log.record.uid", "boot-1-3"))
    file = node.write(tmp_path / "a.json")
    code, stream = found(file)
    (fault,) = stream["faults"]
    assert (code, fault["sequence"], fault["uid"]) == (1, 17, "boot-1-3")
    assert fault["place"] == f"{file}:{node.place(17)}"
    assert "the uid of record 3" in fault["what"]


@FORMS
def test_a_record_sent_again_that_says_something_else_is_found(form: Form, tmp_path: Path) -> None:
    node, other = Node(form).touch(20).flush(), Node(form).touch(20).flush()
    other.alter(7, lambda record: set_text(record, "a.text", "nothing happened"))
    node.lines.append(other.lines[other.place(7) - 1])
    code, stream = found(node.write(tmp_path / "a.json"))
    assert (code, [fault["sequence"] for fault in stream["faults"]]) == (1, [7])


def test_lines_that_were_moved_are_mentioned(tmp_path: Path) -> None:
    node = Node().touch(50).flush()
    node.lines[1], node.lines[3] = node.lines[3], node.lines[1]
    file = node.write(tmp_path / "a.json")
    code, stream = found(file)
    assert (code, stream["disordered"]) == (0, 20)
    assert "stand behind later ones, the first is" in told(file)


def test_lines_that_are_no_records_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    node = Node().touch(10).flush()
    node.lines += [b"no json\n", b'{"someone":"else"}\n', b"\n", b'{"resourceLogs": 5}\n', b'{"resourceLogs": [{"resou']
    file = node.write(tmp_path / "a.json")
    code, text = verify([file], key=None, spool=None, as_json=True)
    report = json.loads(text)
    assert (code, report["unreadable"]["count"], report["foreign"]) == (0, 3, 1)
    assert report["unreadable"]["first"] == f"{file}:2"
    assert f"3 lines are no records, the first is {file}:2" in told(file)


def test_a_compressed_file_that_breaks_off_gives_what_is_whole(tmp_path: Path) -> None:
    node = Node().touch(5000).flush()
    packed = gzip.compress(b"".join(node.lines))
    path = tmp_path / "a.json.gz"
    path.write_bytes(packed[: len(packed) // 2])
    text = told(path)
    assert "cannot be read any further" in text
    assert re.search(r"1-\d{2,}", text)


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "no record of podwitness in 0 lines"), (b"hello\n", "no record of podwitness in 1 lines")],
)
def test_input_without_records_says_so(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(data)
    code, text = verify([tmp_path / "a.json"], key=None, spool=None, as_json=False)
    assert code == UNUSABLE
    assert said in text


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "cannot be read: No such file"),
        (lambda path: path.mkdir(), "is a directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(make: Any, said: str, tmp_path: Path) -> None:
    make(tmp_path / "a.json")
    with pytest.raises(ConfigError, match=said):
        verify([tmp_path / "a.json"], key=None, spool=None, as_json=False)


def test_records_without_numbers_cannot_be_checked(tmp_path: Path) -> None:
    node = Node("flat").touch(5).flush()
    lines = [json.loads(line) for line in node.lines]
    for record in lines:
        del record["podwitness.event.sequence"]
    path = tmp_path / "a.json"
    path.write_text("".join(json.dumps(record) + "\n" for record in lines))
    code, text = verify([path], key=None, spool=None, as_json=False)
    assert code == 2
    assert "no record has a number" in text


def test_a_record_without_a_number_among_numbered_ones_is_named(tmp_path: Path) -> None:
    node = Node("flat").touch(5).flush()
    extra = json.loads(node.lines[2])
    del extra["podwitness.event.sequence"]
    extra["log.record.uid"] = "made up"
    node.lines.append(json.dumps(extra).encode())
    code, stream = found(node.write(tmp_path / "a.json"))
    assert code == 1
    assert "made up at" in stream["faults"][0]["what"]


def test_no_control_character_of_a_record_reaches_the_terminal(tmp_path: Path) -> None:
    node = Node("flat").touch(2).flush()
    for number in (1, 2):
        node.alter(number, lambda record: set_text(record, "k8s.node.name", "\x1b[2Jgone"))
    text = told(node.write(tmp_path / "a.json"))
    assert "\x1b" not in text
    assert "\\x1b[2Jgone" in text


@given(st.data())
def test_any_records_taken_out_of_any_order_are_what_is_missing(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40))
    node = Node("flat").touch(count).flush()
    gone = data.draw(st.sets(st.integers(1, count), max_size=count - 1))
    left = [line for number, line in enumerate(node.lines, start=1) if number not in gone]
    twice = data.draw(st.lists(st.sampled_from(left), max_size=5))
    checking = Checking(None)
    for at, line in enumerate(data.draw(st.permutations([*left, *twice])), start=1):
        checking.take(Line(Place("a", at), line))
    (stream,) = checking.report(None).streams
    missing = {number for gap in stream.missing for number in range(gap.first, gap.last + 1)}
    last = max(set(range(1, count + 1)) - gone)
    assert missing == {number for number in gone if number < last}
    assert (stream.records, stream.duplicates, stream.complete) == (len(left), len(twice), not missing)


# What somebody did to a chained stream of 60 records, signed at 20, 40 and 61; what has to be named.


def chained(form: Form, folder: Path) -> tuple[Node, Path]:
    signer, public = make_key(folder)
    node = Node(form, signer=signer)
    for _ in range(3):
        node.touch(19).sign()
    return node.stop(), public


@FORMS
def test_an_agent_that_signed_its_last_word_has_stopped_all_the_same(form: Form, tmp_path: Path) -> None:
    node, public = chained(form, tmp_path)
    _, stream = found(node.sign().flush().write(tmp_path / "a.json"), key=public)
    assert (stream["last"], stream["end"]) == (62, "stopped")
    _, stream = found(node.sign().flush().write(tmp_path / "a.json"), key=public)
    assert stream["end"] == "open"


@FORMS
def test_a_chain_that_nobody_touched_holds_and_is_signed_as_far_as_it_is(form: Form, tmp_path: Path) -> None:
    node, public = chained(form, tmp_path)
    file = node.write(tmp_path / "a.json")
    code, stream = found(file, key=public)
    assert (code, stream["faults"]) == (0, [])
    assert stream["chain"] == {"records": 61, "unproven": [], "signatures": 3, "valid": 3, "signed": [[1, 59]]}
    assert "vouch for: 1-59" in told(file, key=public)
    assert "signatures were not checked" in told(file)


@FORMS
def test_a_changed_record_is_named(form: Form, tmp_path: Path) -> None:
    node, public = chained(form, tmp_path)
    node.alter(33, lambda record: set_text(record, "a.text", "nothing happened"))
    file = node.write(tmp_path / "a.json")
    code, stream = found(file, key=public)
    (fault,) = stream["faults"]
    assert (code, fault["sequence"], fault["uid"]) == (1, 33, "boot-1-21")
    assert fault["place"] == f"{file}:{node.place(33)}"
    assert stream["chain"]["signed"] == [[1, 19], [34, 59]]


@FORMS
def test_a_removed_record_is_named_and_the_one_behind_it_is_not_proven(form: Form, tmp_path: Path) -> None:
    node, public = chained(form, tmp_path)
    node.alter(33, lambda _record: None)
    code, stream = found(node.write(tmp_path / "a.json"), key=public)
    assert (code, [(gap["first"], gap["last"]) for gap in stream["missing"]]) == (1, [(33, 33)])
    assert (stream["faults"], stream["chain"]["unproven"]) == ([], [34])
    assert stream["chain"]["signed"] == [[1, 19], [35, 59]]


@FORMS
def test_two_records_that_changed_places_are_named(form: Form, tmp_path: Path) -> None:
    node, public = chained(form, tmp_path)
    node.alter(33, lambda record: set_number(record, 99))
    node.alter(34, lambda record: set_number(record, 33))
    node.alter(99, lambda record: set_number(record, 34))
    _code, stream = found(node.write(tmp_path / "a.json"), key=public)
    assert [fault["sequence"] for fault in stream["faults"]] == [33, 34, 35]


@FORMS
def test_an_inserted_record_is_named(form: Form, tmp_path: Path) -> None:
    node, public = chained(form, tmp_path)
    other = Node(form).touch(62).flush()
    node.lines.append(other.lines[other.place(62) - 1])
    file = node.write(tmp_path / "a.json")
    _code, stream = found(file, key=public)
    assert "has no hash" in stream["faults"][-1]["what"]
    assert stream["faults"][-1]["sequence"] == 62


@FORMS
def test_a_record_made_anew_with_its_hash_shows_at_the_next_one(form: Form, tmp_path: Path) -> None:
    node, public = chained(form, tmp_path)

    def forge(record: dict[str, Any]) -> bool:
        set_text(record, "a.text", "nothing happened")
        return set_text(record, "podwitness.chain.hash", forged)

    before = _chain_of(node, 32)
    forged = ""
    node.alter(33, forge)
    forged = linked(bytes.fromhex(before), _canonical_of(node, 33)).hex()
    node.alter(33, forge)
    _code, stream = found(node.write(tmp_path / "a.json"), key=public)
    assert [fault["sequence"] for fault in stream["faults"]] == [34]


def _of(node: Node, number: int) -> Any:
    return next(one for line in node.lines for one in told_of_line(line) if one.sequence == number)


def _chain_of(node: Node, number: int) -> str:
    return str(_of(node, number).chain)


def _canonical_of(node: Node, number: int) -> bytes:
    return bytes(_of(node, number).canonical)


def test_a_whole_chain_made_anew_has_no_valid_signature(tmp_path: Path) -> None:
    _signer, public = make_key(tmp_path, "ours")
    node, theirs = chained("otlp", tmp_path)
    file = node.write(tmp_path / "a.json")
    code, stream = found(file, key=public)
    assert (code, stream["chain"]["valid"], stream["chain"]["signed"]) == (1, 0, [])
    assert [fault["sequence"] for fault in stream["faults"]] == [20, 40, 60, 61]
    assert "not by the key given" in stream["faults"][0]["what"]
    both = tmp_path / "both.pem"
    both.write_bytes(public.read_bytes() + theirs.read_bytes())
    assert found(file, key=both)[0] == 0


def test_with_a_key_a_stream_without_signatures_does_not_pass(tmp_path: Path) -> None:
    _signer, public = make_key(tmp_path)
    file = Node().touch(30).flush().write(tmp_path / "a.json")
    code, stream = found(file, key=public)
    assert (code, stream["faults"][0]["what"][:18]) == (1, "no valid signature")


def test_a_loss_breaks_the_chain_and_what_follows_is_vouched_for_from_there(tmp_path: Path) -> None:
    signer, public = make_key(tmp_path)
    node = Node(signer=signer).touch(30).sign().touch(9).lose(((11, 20),), 10, "spool_full").sign().flush()
    for number in range(11, 21):
        node.alter(number, lambda _record: None)
    file = node.write(tmp_path / "a.json")
    code, stream = found(file, key=public)
    assert (code, stream["chain"]["unproven"], stream["chain"]["signed"]) == (0, [21], [[22, 41]])
    assert "nothing proves the content of 21" in told(file, key=public)


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        (b"", "holds no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be read"),
        (None, "No such file"),
    ],
)
def test_a_key_that_is_none_is_said_before_anything_is_read(pem: bytes | None, said: str, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    if pem is not None:
        key.write_bytes(pem)
    with pytest.raises(ConfigError, match=f"--public-key.*{said}"):
        verify([tmp_path / "nothing"], key=key, spool=None, as_json=False)


@FORMS
def test_a_stream_says_what_was_lost_of_the_one_before_it(form: Form, tmp_path: Path) -> None:
    old = Node(form, stream=Stream("files", "old"), batch=1).touch(40).flush()
    for number in (11, 12):
        old.alter(number, lambda _record: None)
    new = Node(form, stream=Stream("files", "new"), batch=1).touch(20)
    new.lose(((11, 12), (90, 95)), 8, stream="old").flush()
    other = Node(form, stream=Stream("other", "another"), batch=1).touch(20).flush()
    other.alter(11, lambda _record: None)
    files = [node.write(tmp_path / node.stream.id) for node in (new, old, other)]
    report = json.loads(verify(files, key=None, spool=None, as_json=True).text)
    missing = {one["stream"]: one["missing"] for one in report["streams"]}
    assert [(gap["first"], gap["last"], gap["explained"], gap["reason"]) for gap in missing["old"]] == [
        (11, 12, True, "queue_full")
    ]
    assert missing["new"] == [], "its own 11 and 12 are there"
    assert [gap["explained"] for gap in missing["another"]] == [False], "that is of another sink"


@FORMS
def test_numbers_of_another_stream_explain_nothing_here(form: Form, tmp_path: Path) -> None:
    node = Node(form, batch=1).touch(40).lose(((11, 12),), 2, stream="old").flush()
    node.alter(11, lambda _record: None)
    code, stream = found(node.write(tmp_path / "a.json"))
    assert (code, [gap["explained"] for gap in stream["missing"]]) == (INCOMPLETE, [False])
