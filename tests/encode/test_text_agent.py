"""What the agent says of itself, for people."""

import pytest

from exporter.config import Batch, FieldFilter
from exporter.encode.text import TextEncoder
from exporter.model import Kind, Value
from exporter.probes import (
    AGENT_KINDS,
    AGENT_STARTED,
    AGENT_STOPPED,
    DEGRADATION,
    EVENTS_LOST,
    PROBE_ATTACHED,
    PROBE_FAILED,
    TOLD,
)
from exporter.probes.agent import CHAIN_SIGNED
from exporter.shape import fields
from tests.encode.events import make_agent_event, make_stream


def line(kind: Kind, *values: Value | None, without: str = "") -> str:
    filters = [FieldFilter(exclude=(without,))] if without else []
    keep = fields.compile(filters, TOLD, where="")
    text = TextEncoder(TOLD, keep, Batch(), "node-1", make_stream(), timestamps=False)
    assert not list(text.encode([make_agent_event(kind, *values)]))
    (payload,) = text.flush()
    return payload.data.decode()


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        (AGENT_STARTED, (None, None), "🟢 agent started"),
        (AGENT_STARTED, ("0.1.0", False), "🟢 agent started 0.1.0"),
        (AGENT_STARTED, ("0.1.0", True), "🟢 agent started 0.1.0, resumed: nothing was missed since the last one"),
        (AGENT_STOPPED, (), "🔴 agent stopped"),
        (EVENTS_LOST, ("kernel", "ring_full", 12, "a", "b", None, None), "📉 lost 12 records: ring_full (kernel)"),
        (EVENTS_LOST, ("kernel", "ring_full", 1, "a", "b", "", None), "📉 lost 1 record: ring_full (kernel)"),
        (EVENTS_LOST, ("kernel", "no_reader", None, "a", "b", "", None), "📉 lost some records: no_reader (kernel)"),
        (
            EVENTS_LOST,
            ("spool", "too_old", 4, "a", "b", "7-9,12", "0123"),
            "📉 lost 4 records: too_old (spool), numbers 7-9,12",
        ),
        (DEGRADATION, ("arguments", "begun", 1, 2), "⚠️ degraded: arguments begun"),
        (CHAIN_SIGNED, (None, None), "🔏 chain signed"),
        (PROBE_ATTACHED, ("file.open", "fexit/do_filp_open"), "🔌 probe attached file.open: fexit/do_filp_open"),
        (PROBE_FAILED, ("file.open", "no such hook"), '🙈 cannot see file.open: "no such hook"'),
        (CHAIN_SIGNED, ("56475aa75463474c", "c2ln"), "🔏 chain signed by key 56475aa75463474c"),
    ],
)
def test_it_speaks_in_sentences(kind: Kind, values: tuple[Value | None, ...], sentence: str) -> None:
    assert line(kind, *values) == sentence + "\n"


def test_numbers_of_what_was_lost_are_cut() -> None:
    many = ",".join(f"{n}-{n + 5}" for n in range(0, 100_000, 10))
    sentence = line(EVENTS_LOST, "spool", "queue_full", 60_000, "a", "b", many, None)
    assert sentence.startswith("📉 lost 60000 records: queue_full (spool), numbers 0-5,10-15,")
    assert sentence.endswith("…\n")
    assert len(sentence) < 200


def test_what_a_receiver_put_into_a_reason_does_nothing_to_the_terminal() -> None:
    assert (
        line(EVENTS_LOST, "sink", "no\x1b[31m\n", 1, "a", "b", "", None)
        == '📉 lost 1 record: "no\\x1b[31m\\n" (sink)\n'
    )


@pytest.mark.parametrize("kind", AGENT_KINDS)
def test_a_sentence_does_without_what_is_filtered_out(kind: Kind) -> None:
    values = tuple("secret" for _ in kind.own)
    assert "secret" not in line(kind, *values, without="podwitness.*")
