"""Images that have ended: how long they stay."""

from exporter.enrich.departed import Departed
from exporter.model import Process
from tests.encode import observed


def ended(pid: int, at: int) -> Process:
    process = observed.process(observed.host(), f"/bin/{pid}")
    process.pid, process.exited = pid, at
    return process


def test_an_image_stays_for_one_reading_after_the_one_that_told_of_its_end() -> None:
    departed = Departed(0)
    process = ended(1, 100)
    departed.end(process)
    assert departed.pending
    assert departed.leave() == []
    assert departed.pending
    assert departed.leave() == [process]
    assert not departed.pending


def test_where_events_come_late_it_stays_until_their_clock_has_passed_it() -> None:
    departed = Departed(50)
    early, late = ended(1, 100), ended(2, 120)
    departed.see(120)
    departed.end(early)
    departed.end(late)
    assert departed.leave() == departed.leave() == []
    assert not departed.pending  # nothing to do until something happens
    departed.see(151)
    departed.see(90)  # clocks of CPUs differ: it does not go back
    assert departed.leave() == [early]
    departed.see(1000)
    assert departed.leave() == [late]
