"""Sockets: who connects to whom, listens, accepts, and how much went both ways.

Names from OpenTelemetry semantic conventions 1.44.0. `network.local` and `network.peer` are the socket's two ends,
`client` and `server` the same by who began. IPv4 is told as IPv4, also where a program spells it `::ffff:a.b.c.d`. What
OpenTelemetry lacks stands under `podwitness.network.` with the leaf names of the Elastic Common Schema.
"""

from exporter.model import Field, Hook, Kind
from exporter.probes.file import REPEATS, TIMES
from exporter.probes.process import COMMON

_SOCKET = (
    Field("flow.socket", "podwitness.network.socket.inode"),
    Field("flow.netns", "podwitness.network.namespace"),
    Field("flow.protocol", "podwitness.network.protocol"),
    Field("flow.transport", "network.transport"),
    Field("flow.version", "network.type"),
    Field("flow.interface", "network.interface.name"),
)
"""Which socket: its inode is the number in /proc/PID/fd; the interface where it is bound to one."""

_STATE = Field("flow.state", "network.connection.state")
_ERROR = Field("error", "error.type")
_DIRECTION = Field("direction", "podwitness.network.direction")


def _end(member: str, name: str) -> tuple[Field, Field]:
    return Field(f"{member}.address", f"{name}.address"), Field(f"{member}.port", f"{name}.port")


_LOCAL, _PEER = _end("flow.local", "network.local"), _end("flow.peer", "network.peer")
_OUTBOUND = (*_LOCAL, *_PEER, *_end("flow.local", "client"), *_end("flow.peer", "server"))
_INBOUND = (*_LOCAL, *_PEER, *_end("flow.peer", "client"), *_end("flow.local", "server"))
_EITHER = (*_LOCAL, *_PEER, *_end("client", "client"), *_end("server", "server"))
_NO_PEER = ("flow.peer.address", "flow.peer.port")
_PEER_BODY = (
    ("peer", "network.peer.address"),
    ("port", "network.peer.port"),
    ("transport", "network.transport"),
    ("error", "error.type"),
)
_LOCAL_BODY = (
    ("local", "network.local.address"),
    ("port", "network.local.port"),
    ("transport", "network.transport"),
    ("error", "error.type"),
)
_CONNECT, _ACCEPT = ("connect",), ("accept", "accept4")
_STATES = "five runs for each connection of TCP, a look-up each"
_OF_TCP = (
    "TCP by its states, so fast open and io_uring too; the reason why MPTCP could not connect is known only of calls "
    "that wait; SCTP at the end of the call, without the outcome of calls that do not wait"
)
_FORGOTTEN = (
    "UDP has no end; of 32,768 connections at once the oldest are forgotten; those of before the agent are not told"
)
_NOT_BY_RING = "other protocols by io_uring are not seen"

NETWORK_CONNECT = Kind(
    name="network.connect",
    program="connection",
    ring="activity",
    importance=10,
    hooks=(
        Hook(("on_socket_state", "on_ring_connect"), "on_connect_call", _CONNECT, cost=_STATES, caveats=_OF_TCP),
        Hook(("on_socket_state",), "on_connect_call", _CONNECT, cost=_STATES, caveats=f"{_OF_TCP}; {_NOT_BY_RING}"),
    ),
    fields=(
        *_OUTBOUND,
        *_SOCKET,
        _STATE,
        _DIRECTION,
        *REPEATS,
        Field("latency", "podwitness.network.connect_latency_ns"),
        _ERROR,
    ),
    carries=COMMON,
    body=(*_PEER_BODY, TIMES),
)
"""A connection was made, or could not be: told when that is known, of who began it.

`ECANCELED`: the program closed its socket before there was an answer. A datagram socket's other end was set.
"""

NETWORK_ACCEPT = Kind(
    name="network.accept",
    program="connection",
    ring="activity",
    importance=9,
    hooks=(
        Hook(
            ("on_socket_state", "on_ring_accept"), "on_accept_call", _ACCEPT, cost=_STATES,
            caveats="MPTCP by io_uring is not seen",
        ),
        Hook(("on_socket_state",), "on_accept_call", _ACCEPT, cost=_STATES, caveats="by io_uring it is not seen"),
    ),
    fields=(*_INBOUND, *_SOCKET, _STATE, _DIRECTION, _ERROR),
    carries=COMMON,
    body=_PEER_BODY,
)  # fmt: skip
"""A connection was taken; where one could not be, its two ends are the listening socket's."""

NETWORK_CLOSE = Kind(
    name="network.close",
    program="connection",
    ring="activity",
    by_default=False,
    importance=4,
    hooks=(
        Hook(("on_socket_state", "on_ring_accept"), "on_accept_call", _ACCEPT, cost=_STATES, caveats=_FORGOTTEN),
        Hook(
            ("on_socket_state",), "on_accept_call", _ACCEPT, cost=_STATES,
            caveats=f"{_FORGOTTEN}; nor is one accepted by io_uring",
        ),
    ),
    fields=(
        *_EITHER,
        *_SOCKET,
        _STATE,
        _DIRECTION,
        Field("sent", "podwitness.network.bytes_sent"),
        Field("received", "podwitness.network.bytes_received"),
        Field("duration", "podwitness.network.duration_ns"),
        _ERROR,
    ),
    carries=COMMON,
    severity=5,
    body=(
        *_PEER_BODY,
        ("sent", "podwitness.network.bytes_sent"),
        ("received", "podwitness.network.bytes_received"),
    ),
)  # fmt: skip
"""A connection has ended: told of who opened or accepted it.

Bytes are the payload, each once: what was sent again is not counted.
"""

NETWORK_LISTEN = Kind(
    name="network.listen",
    program="socket",
    ring="activity",
    importance=12,
    hooks=(Hook(handler="on_listen_call", calls=("listen",), caveats="by io_uring it is not seen"),),
    fields=(*_LOCAL, *_SOCKET, _STATE, Field("backlog", "podwitness.network.backlog"), _ERROR),
    unused=_NO_PEER,
    carries=COMMON,
    body=_LOCAL_BODY,
)
"""A socket takes connections from now on, or could not."""

NETWORK_BIND = Kind(
    name="network.bind",
    program="socket",
    ring="activity",
    importance=6,
    hooks=(
        Hook(
            handler="on_bind_call", calls=("bind",),
            caveats="by io_uring it is not seen; of one that failed the address is as it was asked for",
        ),
    ),
    fields=(*_LOCAL, *_SOCKET, _ERROR),
    unused=(*_NO_PEER, "flow.state"),
    carries=COMMON,
    body=_LOCAL_BODY,
)  # fmt: skip
"""A socket got an address of its own, or could not; sockets of IP only."""

NETWORK_DATAGRAM = Kind(
    name="network.datagram",
    program="datagram",
    ring="activity",
    by_default=False,
    importance=3,
    hooks=(
        Hook(
            ("on_udp_send", "on_udp6_send", "on_udp_receive"),
            cost="one look-up for each datagram of UDP",
            caveats="of 16,384 flows at once the oldest are forgotten, and told again; the own address is the "
            "one that the socket is bound to, 0.0.0.0 or :: where to none",
        ),
        Hook(
            ("on_socket_send", "on_socket_receive"),
            "on_datagram_call",
            ("sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg"),
            cost="a few loads for each message of any socket, one look-up for each of UDP",
            caveats="the other end is what the program's memory says after the call, and marked, but of connected "
            "sockets; of one sendmmsg or recvmmsg the first 8; who sent is known where the socket is connected or the "
            "program asks; by io_uring connected sockets only",
        ),
        Hook(
            (),
            "on_datagram_call",
            ("sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg"),
            cost="a few loads for each message of any socket, one look-up for each of UDP",
            caveats="as above; read, write and io_uring are not seen",
        ),
    ),
    fields=(
        *_EITHER,
        *_SOCKET,
        _DIRECTION,
        Field("peer_unresolved", "podwitness.network.peer.unresolved"),
        _ERROR,
    ),
    unused=("flow.state",),
    carries=COMMON,
    severity=5,
    body=(*_PEER_BODY, ("direction", "podwitness.network.direction")),
)
"""The first datagram of UDP each way between a socket and another end, and the first that could not be sent.

The client is who sent first. `peer.unresolved`: the other end was read from the program's memory after the call, which
can have changed there by then; such a datagram is told whatever the rules say of its address and port.
"""

NETWORK_SOCKET = Kind(
    name="network.socket",
    program="socket",
    ring="activity",
    importance=14,
    severity=13,
    hooks=(
        Hook(
            ("on_ring_socket",), "on_socket_call", ("socket",),
            cost="a load for each new socket", caveats="one that io_uring could not make is not seen",
        ),
        Hook(
            (), "on_socket_call", ("socket",), cost="a load for each new socket", caveats="by io_uring it is not seen"
        ),
    ),
    fields=(
        Field("socket", "podwitness.network.socket.inode"),
        Field("family", "podwitness.network.socket.family"),
        Field("type", "podwitness.network.socket.type"),
        Field("protocol", "podwitness.network.socket.protocol"),
        Field("netns", "podwitness.network.namespace"),
        _ERROR,
    ),
    carries=COMMON,
    body=(
        ("family", "podwitness.network.socket.family"),
        ("type", "podwitness.network.socket.type"),
        ("protocol", "podwitness.network.socket.protocol"),
        ("error", "error.type"),
    ),
)  # fmt: skip
"""A raw socket or one of packets was made, or refused: what sees or forges the traffic of others."""

NETWORK_UNIX_CONNECT = Kind(
    name="network.unix_connect",
    program="connection",
    ring="activity",
    importance=15,
    severity=13,
    hooks=(
        Hook(
            ("on_ring_unix_connect",), "on_connect_call", _CONNECT,
            cost="a path walk for each connect to a socket of this machine",
            caveats="datagrams without connect are not seen",
        ),
        Hook(
            (), "on_connect_call", _CONNECT,
            cost="a path walk for each connect to a socket of this machine",
            caveats="datagrams without connect and io_uring are not seen, nor one whose descriptor another thread "
            "has made another by the end of the call",
        ),
    ),
    fields=(
        Field("path", "network.peer.address"),
        Field("path", "server.address"),
        Field("path_cut", "podwitness.network.peer.path_truncated"),
        Field("path_unresolved", "podwitness.network.peer.path_unresolved"),
        Field("transport", "network.transport"),
        Field("socket", "podwitness.network.socket.inode"),
        _DIRECTION,
        _ERROR,
    ),
    carries=COMMON,
    body=(("peer", "network.peer.address"), ("error", "error.type")),
)  # fmt: skip
"""A connection to a socket of this machine that is watched (`observe.unix_sockets`), such as a container runtime's.

The path is where the socket that answered is bound, through whatever links or mounts it was reached; `@name` is an
abstract one. `path_unresolved`: nobody answered, the path is as it was asked for.
"""

NETWORK = (
    NETWORK_CONNECT,
    NETWORK_ACCEPT,
    NETWORK_LISTEN,
    NETWORK_BIND,
    NETWORK_CLOSE,
    NETWORK_DATAGRAM,
    NETWORK_SOCKET,
    NETWORK_UNIX_CONNECT,
)
