"""When the agent is ready and when it is alive; `test_health` and `test_notify` have how it is told."""

import time

from exporter.vitals import LIVE_SECONDS, Vitals


def healthy() -> Vitals:
    vitals = Vitals()
    vitals.attach()
    return vitals


def test_one_required_sink_that_works_is_enough_and_readiness_comes_back() -> None:
    working = {"collector": False, "loki": False}
    vitals = healthy()
    vitals.require({name: lambda name=name: working[name] for name in working})  # type: ignore[misc]
    assert vitals.unready()
    working["loki"] = True
    assert vitals.unready() == []


def test_where_no_sink_is_required_the_probes_alone_decide() -> None:
    vitals = Vitals()
    assert vitals.unready() == ["the probes are not attached"]
    vitals.attach()
    assert vitals.unready() == []


def test_an_agent_that_ends_is_not_ready_but_must_be_left_to_end() -> None:
    vitals = healthy()
    vitals.stop()
    assert vitals.unready() == ["the agent is stopping"]
    assert vitals.dead(time.monotonic() + 10 * LIVE_SECONDS) == []


def test_what_only_another_start_can_mend_is_neither_ready_nor_alive() -> None:
    vitals = Vitals()
    vitals.attach()
    vitals.fail("the probes were removed")
    assert vitals.unready() == ["the probes were removed"]
    assert vitals.dead(0.0) == ["the probes were removed"]
    vitals.stop()
    assert vitals.dead(0.0) == []
