"""What the agent says of itself, as sentences for people: `📉 lost 12 records: ring_full (kernel)`.

Called by `text.py` with the attributes that the sink keeps; each sentence does without any that is missing.
"""

from collections.abc import Callable, Mapping

from exporter.encode.text_safe import shown
from exporter.model import Value
from exporter.probes import agent

Said = Mapping[str, Value]

_LOST, _DEGRADED = "podwitness.agent.lost.", "podwitness.agent.degradation."
_PROBE = "podwitness.agent.probe."

NUMBERS = 80
"""Characters of the numbers of lost records, at most."""


def _started(said: Said) -> str:
    version = said.get("podwitness.agent.version")
    resumed = ", resumed: nothing was missed since the last one" if said.get("podwitness.agent.resumed") is True else ""
    return f"🟢 agent started{_after(' ', version)}{resumed}"


def _stopped(_said: Said) -> str:
    return "🔴 agent stopped"


def _lost(said: Said) -> str:
    count = said.get(_LOST + "count")
    what = "1 record" if count == 1 else f"{'some' if count is None else shown(str(count))} records"
    why = [shown(str(said[_LOST + "reason"]))] if _LOST + "reason" in said else []
    why += [f"({shown(str(said[_LOST + 'stage']))})"] if _LOST + "stage" in said else []
    numbers = said.get(_LOST + "sequences")
    which = f", numbers {shown(str(numbers), NUMBERS)}" if numbers else ""
    return f"📉 lost {what}{': ' if why else ''}{' '.join(why)}{which}"


def _degraded(said: Said) -> str:
    step, state = (_after(" ", said.get(_DEGRADED + leaf)) for leaf in ("step", "state"))
    return f"⚠️ degraded:{step}{state}"


def _signed(said: Said) -> str:
    return f"🔏 chain signed{_after(' by key ', said.get('podwitness.chain.key_id'))}"


def _attached(said: Said) -> str:
    return f"🔌 probe attached{_after(' ', said.get(_PROBE + 'type'))}{_after(': ', said.get(_PROBE + 'hook'))}"


def _failed(said: Said) -> str:
    return f"🙈 cannot see{_after(' ', said.get(_PROBE + 'type'))}{_after(': ', said.get(_PROBE + 'reason'))}"


def _after(before: str, value: Value | None) -> str:
    return "" if value is None else before + shown(str(value))


SENTENCES: Mapping[str, Callable[[Said], str]] = {
    agent.AGENT_STARTED.name: _started,
    agent.AGENT_STOPPED.name: _stopped,
    agent.EVENTS_LOST.name: _lost,
    agent.DEGRADATION.name: _degraded,
    agent.CHAIN_SIGNED.name: _signed,
    agent.PROBE_ATTACHED.name: _attached,
    agent.PROBE_FAILED.name: _failed,
}
"""By event type: the sentence of what is said."""
