"""Values of one type out of what the kernel said of a process; anything else there counts as not said."""

from exporter.model import Attributes


def number(facts: Attributes, name: str, default: int = 0) -> int:
    """The number called `name`."""
    value = facts.get(name)
    return value if isinstance(value, int) else default


def texts(facts: Attributes, name: str) -> tuple[str, ...]:
    """The list of texts called `name`; empty where there is none."""
    value = facts.get(name)
    return tuple(map(str, value)) if isinstance(value, tuple) else ()
