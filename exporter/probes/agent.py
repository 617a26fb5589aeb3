"""What the agent tells of itself in the stream: that it began and ended, what it can and cannot see, what was lost.

These records come from no probe. They have no process; their Resource is the host's. `agent.events_lost` and
`agent.probe_failed` are in every sink's stream unless a user excludes them by name: who reads the stream can tell what
is missing from it.
"""

from exporter.model import Kind

_LOST = "podwitness.agent.lost."
_PROBE = "podwitness.agent.probe."

AGENT_STARTED = Kind(
    name="agent.started",
    derived=("podwitness.agent.version", "podwitness.agent.resumed"),
    body=(("version", "podwitness.agent.version"), ("resumed", "podwitness.agent.resumed")),
)
"""`resumed`: the pinned rings were there, nothing was missed between the agents."""

AGENT_STOPPED = Kind(name="agent.stopped")
"""The stream's last record, until the agent starts again."""

EVENTS_LOST = Kind(
    name="agent.events_lost",
    derived=tuple(_LOST + leaf for leaf in ("stage", "reason", "count", "from", "to", "sequences", "stream")),
    body=(("stage", _LOST + "stage"), ("reason", _LOST + "reason"), ("count", _LOST + "count")),
    severity=13,
)
"""Records that will never arrive (`model.Loss`). `from` and `to` are ISO times; `sequences` ranges as text, `7-9`.

`stream` is the id of the stream that the ranges are of, where there are some and it is known.
"""

DEGRADATION = Kind(
    name="agent.degradation",
    derived=tuple("podwitness.agent.degradation." + leaf for leaf in ("step", "state", "memory_bytes", "limit_bytes")),
    body=(("step", "podwitness.agent.degradation.step"), ("state", "podwitness.agent.degradation.state")),
    severity=13,
)
"""The agent does less, or does it again: `state` is `begun` or `undone`."""

CHAIN_SIGNED = Kind(
    name="agent.chain_signed",
    derived=("podwitness.chain.key_id", "podwitness.chain.signature"),
    severity=5,
)
"""The signature of the chain's hash up to and with this record; `encode/chain.py` fills it."""

PROBE_ATTACHED = Kind(
    name="agent.probe_attached",
    derived=(_PROBE + "type", _PROBE + "hook"),
    body=(("type", _PROBE + "type"), ("hook", _PROBE + "hook")),
    severity=5,
)
"""How an event type is seen from now on; one for each, at every start. A list of other types does not include it."""

PROBE_FAILED = Kind(
    name="agent.probe_failed",
    derived=(_PROBE + "type", _PROBE + "reason"),
    body=(("type", _PROBE + "type"), ("reason", _PROBE + "reason")),
    severity=13,
)
"""An event type that is asked for and cannot be seen on this kernel: that none of it comes says nothing."""

AGENT_KINDS = (
    AGENT_STARTED,
    AGENT_STOPPED,
    EVENTS_LOST,
    DEGRADATION,
    CHAIN_SIGNED,
    PROBE_ATTACHED,
    PROBE_FAILED,
)
