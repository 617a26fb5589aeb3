"""Several receivers of one sink: who is asked, when, and how often while nobody answers."""

import random
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import config
from exporter.model import Delivery, Payload
from exporter.sink.failover import Failover
from tests.sink.clock import Simulated

ACCEPTED = Delivery("accepted")
DOWN = Delivery("retry", "connection refused")
BUSY = Delivery("retry", "HTTP 429", delay=120.0)
UNANSWERED = Delivery("unanswered", "no ack in time")
ONE = Payload("logs", b"x", 1)

Answer = Delivery | Callable[[float], Delivery]


class Way:
    """A receiver that answers from a list, then always the last of it; `asked` says when."""

    def __init__(self, name: str, clock: Simulated, answers: Iterable[Answer]) -> None:
        self.endpoint, self.gzip, self.closed = name, True, False
        self.asked: list[float] = []
        self._clock, self._answers = clock, list(answers)

    def send(self, _payload: Payload) -> Delivery:
        self.asked.append(self._clock.now())
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer(self._clock.now()) if callable(answer) else answer

    def close(self) -> None:
        self.closed = True


class Case:
    """A failover between receivers with these answers, called `a`, `b` and so on."""

    def __init__(self, *scripts: Iterable[Answer], **changes: float) -> None:
        self.clock = Simulated()
        self.ways = [Way(name, self.clock, script) for name, script in zip("abc", scripts, strict=False)]
        settings = config.Queue(**({"retry_max_seconds": 30.0, "breaker_failures": 3} | changes))  # type: ignore[arg-type]
        self.failover = Failover(self.ways, settings, now=self.clock.now)

    def send(self, times: int = 1, every: float = 0.0) -> list[str]:
        outcomes: list[str] = []
        for _ in range(times):
            outcomes.append(self.failover.send(ONE).outcome)
            self.clock.pass_by(every)
        return outcomes

    def asked(self) -> list[int]:
        return [len(way.asked) for way in self.ways]


def test_the_preferred_one_gets_everything_while_it_answers() -> None:
    case = Case([ACCEPTED], [ACCEPTED])
    assert case.send(5) == ["accepted"] * 5
    assert case.asked() == [5, 0]
    assert (case.failover.endpoint, case.failover.gzip) == ("a", True)


def test_while_it_fails_the_next_one_takes_the_same_payload_at_once(caplog: pytest.LogCaptureFixture) -> None:
    case = Case([DOWN], [ACCEPTED])
    assert case.send(100, every=0.1) == ["accepted"] * 100
    assert case.ways[1].asked == pytest.approx([n / 10 for n in range(100)])
    assert len(case.ways[0].asked) <= 3 + 1, "its breaker opens"
    assert case.failover.endpoint == "b"
    assert caplog.messages == ["b: is used instead of a, which fails: connection refused"]


def test_the_preferred_one_is_asked_again_when_its_time_has_come(caplog: pytest.LogCaptureFixture) -> None:
    back = 100.0
    case = Case([lambda now: DOWN if now < back else ACCEPTED], [ACCEPTED])
    case.send(2000, every=0.1)
    first, second = case.ways
    again = next(time for time in first.asked if time >= back)
    assert again <= back + 30.1
    assert all(time < again for time in second.asked)
    assert case.failover.endpoint == "a"
    assert caplog.messages[1:] == ["a: answers again and is used"]


def test_a_receivers_retry_after_is_for_that_receiver() -> None:
    case = Case([BUSY, ACCEPTED], [ACCEPTED])
    case.send(1500, every=0.1)
    first, second = case.ways
    assert first.asked[1] == pytest.approx(120.0, abs=0.11)
    assert second.asked[-1] < 120.1


def test_nobody_is_asked_while_all_rest_and_the_answer_says_until_when() -> None:
    case = Case([BUSY], [Delivery("retry", "HTTP 503", delay=50.0)])
    first = case.failover.send(ONE)
    assert (first.outcome, first.reason) == ("retry", "HTTP 503")
    assert first.delay == pytest.approx(50.0)
    case.clock.pass_by(20)
    rest = case.failover.send(ONE)
    assert rest.outcome == "retry"
    assert rest.delay == pytest.approx(30.0)
    assert case.asked() == [1, 1]


def test_one_request_closes_an_open_breaker_or_opens_it_again() -> None:
    case = Case([DOWN, DOWN, DOWN, DOWN, ACCEPTED], retry_initial_seconds=0.001)
    for _ in range(5):
        case.clock.pass_by(case.failover.send(ONE).delay or 0.0)
    gaps = [later - earlier for earlier, later in pairwise(case.ways[0].asked)]
    assert [15.0 <= gap <= 30.0 for gap in gaps] == [False, False, True, True]
    assert case.send(10) == ["accepted"] * 10


def test_waits_double_with_full_jitter_until_the_breaker_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    ranges: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        ranges.append((low, high))
        return low

    monkeypatch.setattr("exporter.sink.failover.random.uniform", uniform)
    script = [*[DOWN] * 6, ACCEPTED, DOWN]
    case = Case(script, retry_initial_seconds=1.0, retry_max_seconds=5.0, breaker_failures=5)
    for _ in script:
        case.clock.pass_by(case.failover.send(ONE).delay or 0.0)
    assert ranges == [(0, 1.0), (0, 2.0), (0, 4.0), (0, 5.0), (2.5, 5.0), (2.5, 5.0), (0, 1.0)]


@pytest.mark.parametrize(
    ("asked", "given"), [(None, 0.0), (-1.0, 0.0), (float("nan"), 0.0), (1e18, 3600.0), (float("inf"), 3600.0)]
)
def test_no_delay_is_too_odd(asked: float | None, given: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.sink.failover.random.uniform", lambda low, _high: low)
    case = Case([Delivery("retry", "odd", delay=asked)])
    assert case.failover.send(ONE).delay == given


def test_a_payload_that_nobody_acknowledged_is_not_handed_to_all_in_one_go() -> None:
    case = Case([UNANSWERED], [UNANSWERED])
    first = case.failover.send(ONE)
    assert (first.outcome, first.delay, case.asked()) == ("unanswered", 0.0, [1, 0])
    assert case.failover.send(ONE).outcome == "unanswered"
    assert case.asked() == [1, 1]


@pytest.mark.parametrize("outcome", ["refused", "too_large", "closed"])
def test_what_is_an_answer_is_final_and_no_failure(outcome: str) -> None:
    case = Case([Delivery(outcome)], [ACCEPTED])  # type: ignore[arg-type]
    assert case.send(10) == [outcome] * 10
    assert case.asked() == [10, 0]


def test_the_end_asks_each_of_them_once_more() -> None:
    case = Case([BUSY], [DOWN, DOWN, DOWN, ACCEPTED], retry_max_seconds=3000.0)
    for _ in range(3):
        case.send(every=1.0)
    before = case.asked()
    case.failover.hurry()
    case.send()
    assert case.asked() == [before[0] + 1, before[1] + 1]


def test_it_works_while_the_last_payload_was_accepted() -> None:
    seen = []
    script = [DOWN, ACCEPTED, Delivery("too_large"), Delivery("accepted", rejected=1), Delivery("refused"), UNANSWERED]
    case = Case(script, retry_initial_seconds=0.001)
    assert not case.failover.working, "nothing was sent yet"
    for _ in script:
        case.clock.pass_by(case.failover.send(ONE).delay or 0.0)
        seen.append(case.failover.working)
    assert seen == [False, True, True, True, False, False]


def test_it_works_as_long_as_one_receiver_does() -> None:
    case = Case([DOWN], [DOWN], [ACCEPTED])
    case.send(10, every=1.0)
    assert case.failover.working


def test_closing_closes_all() -> None:
    case = Case([ACCEPTED], [ACCEPTED])
    case.failover.close()
    assert all(way.closed for way in case.ways)


trouble = st.sampled_from([DOWN, UNANSWERED, Delivery("retry", delay=0.0), Delivery("retry", delay=7.0)])


@given(
    scripts=st.lists(st.lists(trouble, min_size=1, max_size=10), min_size=1, max_size=3),
    seed=st.integers(0, 1 << 32),
    failures=st.integers(1, 6),
)
def test_requests_are_bounded_while_nobody_answers_and_prompt_after(
    scripts: list[list[Delivery]], seed: int, failures: int
) -> None:
    random.seed(seed)
    hour = 3600.0

    def down(answer: Delivery) -> Answer:
        return lambda now: answer if now < hour else ACCEPTED

    case = Case(*[map(down, script) for script in scripts], breaker_failures=failures)
    while not case.failover.working:
        case.clock.pass_by(case.failover.send(ONE).delay or 0.0)
    for way in case.ways:
        assert len([time for time in way.asked if time < hour]) <= failures + hour / 15.0
    assert case.clock.now() <= hour + 30.0
