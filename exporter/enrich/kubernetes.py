"""The pods of this node from the Kubernetes API: one list, then watches that go on where the last ended.

The agent opens one PodWatch. Its thread decodes each event of the watch straight into the structs of
`pods` and puts it into the PodIndex, which Resources read; no event of the pipeline ever waits on it, and
it outlives every failure of the network: connections lost, API servers restarted, versions forgotten,
rights not given yet. What it logs is each change of its health, once.
"""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import urllib3

from exporter.config import Kubernetes
from exporter.enrich.apiserver import (
    Connection,
    GoneError,
    RefusedError,
    Status,
    body,
    configure,
    interrupt,
    lines,
    one_line,
)
from exporter.enrich.host import node_name
from exporter.enrich.pods import Pod, PodIndex, trimmed
from exporter.errors import KubernetesError
from exporter.telemetry import Ledger, log

__all__ = ["PodWatch", "configure"]

PODS = "/api/v1/pods"
LINE_BYTES = 16 * 1024 * 1024
"""Of one watch event; etcd holds objects of at most 1.5 MiB."""
LIST_BYTES = 256 * 1024 * 1024
LIST_SECONDS = 60.0
WATCH_SECONDS = (240, 480)
"""The API server ends a watch after such a time and we begin the next: it spreads nodes over replicas."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
"""Seconds after a failure; doubled each time, up to half of it taken off by chance."""
STUMBLES = 2
"""Watches from one version that met what cannot be read; after so many a list goes around it."""
TOO_SHORT = 1.0
"""A watch that ended within these seconds and told nothing is a failure: else we would ask without end."""


class _Meta(msgspec.Struct):
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    next_page: str = msgspec.field(default="", name="continue")


class _Versioned(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)


class _List(_Versioned):
    items: list[msgspec.Raw] | None = None


class _Change(msgspec.Struct):
    type: str
    object: msgspec.Raw


class PodWatch:
    """Keeps `index` equal to the pods of `node`, from a thread of its own.

    `synced` is set once the first list is in. `health` says in a sentence how it stands. Failures are noted
    in `ledger` as `kubernetes_retry`, `kubernetes_relist` and `kubernetes_pod_unreadable`.
    """

    @classmethod
    def open(cls, settings: Kubernetes, index: PodIndex, ledger: Ledger) -> "PodWatch | None":
        """The watch that the settings ask for, of this node; None where they ask for none.

        Raises:
            KubernetesError: as `configure`.
        """
        connection = configure(settings)
        return cls(settings, node_name(settings), index, ledger, connection) if connection else None

    def __init__(
        self,
        settings: Kubernetes,
        node: str,
        index: PodIndex,
        ledger: Ledger,
        connection: Connection,
    ) -> None:
        self.synced = threading.Event()
        self.health = "not started"
        self._settings, self._node, self._index, self._ledger = settings, node, index, ledger
        self._connection = connection
        self._answer: urllib3.HTTPResponse | None = None
        self._answering = threading.Lock()
        self._stop = threading.Event()
        self._listed = False
        # Where to go on: "0" takes any state that the API server has at hand, "" asks for the newest.
        self._version = "0"
        self._failures = 0
        self._stumbles, self._stumbled_at = 0, ""
        self._trouble = ""  # as last logged: lost, forbidden or none
        self._cut_short = False  # the last watch began and told nothing
        self._thread = threading.Thread(target=self._run, name="kubernetes-watch", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self.health = f"connecting to {self._connection.host}"
        self._thread.start()

    def close(self) -> None:
        """End the thread. One that is just connecting ends by itself a little later."""
        self._stop.set()
        with self._answering:
            if self._answer:
                interrupt(self._answer)
        if self._thread.ident:
            self._thread.join(2.0)
        self.health = "closed"

    def _run(self) -> None:
        while not self._stop.is_set():
            failure = self._attempt()
            if failure and not self._stop.is_set():
                self._pause(failure)
        self._connection.close()

    def _attempt(self) -> RefusedError | None:
        """One list or watch to its end: what was wrong with it."""
        try:
            self._follow()
        except GoneError as gone:
            self._ledger.note("kubernetes_relist")
            if not self._listed:  # not even a list can be had from this version: ask for the newest
                self._version = ""
            self._listed = False
            self._failures += 1
            # At once, twice: a list from our version, then one without. After that something is wrong.
            return RefusedError(f"the pods' versions are gone: {one_line(gone)}") if self._failures > 2 else None
        except RefusedError as refused:
            return refused
        except Exception as error:  # whatever it was, the pods must not be lost for good
            return RefusedError(f"cannot watch pods: {one_line(error)}")
        return None

    def _pause(self, failure: RefusedError) -> None:
        self._warn(failure)
        longest = min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE)
        seconds = max(failure.pause, longest * random.uniform(0.5, 1.0))  # noqa: S311  # spreads the nodes, no secret
        self._failures = min(self._failures + 1, 16)
        self._ledger.note("kubernetes_retry")
        self.health = f"{failure}; trying again in {seconds:.1f} s"
        self._stop.wait(seconds)
        if not self._stop.is_set():
            self._reconnect()

    def _warn(self, failure: RefusedError) -> None:
        """Log it, unless that is known; one connection that breaks and is there again at once is no news."""
        trouble = "forbidden" if failure.forbidden else "lost"
        if trouble == self._trouble or (trouble == "lost" and not self._failures):
            return
        self._trouble = trouble
        log.warning("%s; until that is better, events carry what is known of the pods now", failure)

    def _recovered(self) -> None:
        if self._trouble:
            self._trouble = ""
            log.info("watching the pods of node %s again", self._node)

    def _reconnect(self) -> None:
        """Read token, certificates and kubeconfig again: they may be what was wrong, or have been renewed."""
        try:
            fresh = configure(self._settings)
        except KubernetesError as error:
            self.health = str(error)
            return
        if fresh:
            self._connection.close()
            self._connection = fresh

    def _follow(self) -> None:
        """List if that is needed, then watch until the API server ends it in good order."""
        if not self._listed:
            self._list()
        began, told = time.monotonic(), 0
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311  # spreads the nodes, no secret
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(seconds),
        }
        with self._ask(query, seconds + 30.0) as answer:
            self.health = f"watching the pods of node {self._node}"
            if not self._cut_short:
                self._recovered()
            try:
                for line in lines(answer.stream(65_536), LINE_BYTES):
                    self._take(line)
                    told += 1
                    self._recovered()
            except (GoneError, urllib3.exceptions.HTTPError):
                raise
            except Exception:
                self._stumble()
                raise
            finally:
                lived = told > 0 or time.monotonic() - began >= TOO_SHORT
                self._cut_short = not lived
                if lived:
                    self._failures = 0
        if not lived:
            raise RefusedError("the API server ended the watch at once")

    def _stumble(self) -> None:
        """Something in the watch cannot be read, and would be told from this version again, for ever."""
        self._stumbles = self._stumbles + 1 if self._version == self._stumbled_at else 1
        self._stumbled_at = self._version
        if self._stumbles >= STUMBLES:
            self._ledger.note("kubernetes_relist")
            self._stumbles, self._listed = 0, False

    def _list(self) -> None:
        """All pods of the node, page by page, into the index."""
        found: list[Pod] = []
        query = {"limit": "500", "resourceVersion": self._version}
        if self._version not in ("0", ""):
            # Unsaid, a limit makes it mean exactly that version: after a restart the API server lists it for
            # minutes while it cannot watch from it any more.
            query["resourceVersionMatch"] = "NotOlderThan"
        while True:
            with self._ask(query, LIST_SECONDS) as answer:
                page = msgspec.json.decode(body(answer, LIST_BYTES), type=_List)
            found += [pod for item in page.items or () if (pod := self._pod(item)) is not None]
            if not page.metadata.next_page:
                break
            query = {"limit": "500", "continue": page.metadata.next_page}
        self._index.replace(found)
        self._version = page.metadata.resource_version
        self._listed = True
        self.synced.set()

    def _take(self, line: bytes) -> None:
        """One event of the watch."""
        change = msgspec.json.decode(line, type=_Change)
        if change.type == "ERROR":
            status = msgspec.json.decode(change.object, type=Status)
            if status.code == 410:
                raise GoneError(status.message)
            raise RefusedError(f"the watch failed: {status.code} {one_line(status.message)}")
        if change.type != "BOOKMARK" and (pod := self._pod(change.object)) is not None:
            if change.type == "DELETED":
                self._index.remove(pod.metadata.uid)
            else:
                self._index.apply(pod)
        # After the change: what was cut off before it is told again.
        self._version = _version(change.object) or self._version

    def _pod(self, raw: msgspec.Raw) -> Pod | None:
        """One pod, trimmed; None where it is not what the API promises, which must cost us no other pod."""
        try:
            return trimmed(msgspec.json.decode(raw, type=Pod), self._settings)
        except msgspec.DecodeError:
            self._ledger.note("kubernetes_pod_unreadable")
            return None

    @contextmanager
    def _ask(self, query: dict[str, str], read_seconds: float) -> Iterator[urllib3.HTTPResponse]:
        """An answer that `close` can interrupt from another thread."""
        selected = {"fieldSelector": f"spec.nodeName={self._node}", **query}
        answer = self._connection.get(PODS, selected, read_seconds)
        with self._answering:
            self._answer = answer
            if self._stop.is_set():
                interrupt(answer)
        try:
            yield answer
        finally:
            with self._answering:
                self._answer = None
            answer.close()


def _version(raw: msgspec.Raw) -> str:
    """An object's version; empty where it cannot be read."""
    try:
        return msgspec.json.decode(raw, type=_Versioned).metadata.resource_version
    except msgspec.DecodeError:
        return ""
