"""Whether a process of a container descends from the container's first process, or came in from outside.

`kubectl exec`, `nsenter` and everything beneath them are not of the tree; the process table asks for each new process.
What counts is who started it, not who adopted it later. Where the agent was not there to see that, the kernel's parent
is all there is, and the session: who comes in by `kubectl exec` leads one.

A container is a pid namespace here; without one of its own (`hostPID`) its processes have no mark. Where the containers
of a pod share one (`shareProcessNamespace`) only the pause container has a tree: the others' processes have entered.
"""

from exporter.model import Attributes

MARK = "podwitness.process.in_init_tree"
HOST = 0xEFFFFFFC
"""Inode number of the first pid namespace: PROC_PID_INIT_INO, include/linux/proc_ns.h."""
_NAMESPACE = "podwitness.process.namespace.pid"
_VPID = "process.vpid"


def in_init_tree(process: Attributes, starter: Attributes | None, leader: Attributes | None) -> bool | None:
    """The mark of a new process; None where there is nothing to say, or nobody knows.

    Args:
        process: its attributes.
        starter: who started it, or adopted it where nobody saw who did.
        leader: its session's leader, where the starter may only have adopted it.
    """
    namespace, first = process.get(_NAMESPACE), process.get(_VPID) == 1
    if namespace is None or namespace == HOST:
        return None
    if starter is None or _NAMESPACE not in starter:
        return True if first else None
    if starter[_NAMESPACE] == HOST:
        return first
    if starter[_NAMESPACE] != namespace and not first:
        return False
    if leader is not None and leader.get(_NAMESPACE) == namespace and leader.get(MARK) is False:
        return False
    mark = starter.get(MARK)
    return mark if isinstance(mark, bool) else first or None
