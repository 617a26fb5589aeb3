"""gRPC receivers on loopback that answer as a test tells them: one by grpcio, one that writes HTTP/2 frames itself.

Once the script is used up the first accepts.
"""

import contextlib
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import DebugInfo, RetryInfo
from google.rpc.status_pb2 import Status

from tests.sink.conftest import Certificates


class Call(NamedTuple):
    """What came in; `peer` is the connection."""

    method: str
    metadata: dict[str, Any]
    body: bytes
    peer: str


class GrpcAnswer(NamedTuple):
    """What goes back. `status`: in `grpc-status-details-bin`. `hold`: not before this is set."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    text: str = ""
    body: bytes = b""
    status: bytes | None = None
    hold: threading.Event | None = None


def retry_info(code: int, seconds: float) -> bytes:
    """A google.rpc.Status that says when to come again, behind a detail that says something else."""
    return status(code, DebugInfo(detail="busy"), _delay(seconds))


def status(code: int, *details: Message) -> bytes:
    found = Status(code=code)
    for detail in details:
        found.details.add().Pack(detail)
    return bytes(found.SerializeToString())


def _delay(seconds: float) -> RetryInfo:
    info = RetryInfo()
    info.retry_delay.FromNanoseconds(int(seconds * 10**9))
    return info


class GrpcReceiver(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """A gRPC server; `calls` is what it got."""

    def __init__(
        self,
        *answers: GrpcAnswer,
        port: int = 0,
        certificates: Certificates | None = None,
        name: str = "server",
        ask_client: bool = False,
        max_bytes: int = -1,
    ) -> None:
        self.answers, self.calls = list(answers), list[Call]()
        self._pool = ThreadPoolExecutor(4)
        options = [("grpc.max_receive_message_length", max_bytes), ("grpc.so_reuseport", 0)]
        self._server = grpc.server(self._pool, handlers=[self], options=options)
        if certificates is None:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        else:
            credentials = server_credentials(certificates, name, ask_client=ask_client)
            self.port = self._server.add_secure_port(f"127.0.0.1:{port}", credentials)
        self.url = f"{'https' if certificates else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> "GrpcReceiver":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
        self._pool.shutdown()

    def service(self, details: Any) -> Any:
        """Every method; bytes as they are."""
        return grpc.unary_unary_rpc_method_handler(lambda body, context: self._answer(details, body, context))

    def _answer(self, details: Any, body: bytes, context: Any) -> bytes:
        metadata = dict(details.invocation_metadata)
        self.calls.append(Call(details.method, metadata, body, context.peer()))
        answer = self.answers.pop(0) if self.answers else GrpcAnswer()
        if answer.hold:
            answer.hold.wait(30)
        if answer.status is not None:
            context.set_trailing_metadata([("grpc-status-details-bin", answer.status)])
        context.set_code(answer.code)
        context.set_details(answer.text)
        return answer.body


def server_credentials(certificates: Certificates, name: str, *, ask_client: bool) -> Any:
    certificate, key, ca = (_read(file) for file in (*certificates.of(name), certificates.ca))
    return grpc.ssl_server_credentials([(key, certificate)], ca if ask_client else None, ask_client)


def _read(file: str) -> bytes:
    with open(file, "rb") as content:  # noqa: PTH123
        return content.read()


SETTINGS, RST_STREAM, GOAWAY, HEADERS, DATA = 4, 3, 7, 1, 0
"""Types of HTTP/2 frames (RFC 9113)."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def reset_stream(code: int) -> bytes:
    return frame(RST_STREAM, 0, 1, struct.pack(">I", code))


def go_away(code: int) -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">II", 0, code))


def headers(http_status: int, *, end: bool = True) -> bytes:
    """Response headers with nothing but `:status`, as a literal."""
    text = str(http_status).encode()
    return frame(HEADERS, 5 if end else 4, 1, b"\x08" + bytes([len(text)]) + text)


class FramePeer:
    """Takes one connection, says `greeting`, waits for the request's data and says `answer`; `data` is its first frame.

    `reset` ends the connection with a TCP reset.
    """

    def __init__(self, answer: bytes = b"", *, greeting: bytes = frame(SETTINGS, 0, 0), reset: bool = False) -> None:
        self.data = b""
        self._answer, self._greeting, self._reset = answer, greeting, reset
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "FramePeer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(30)
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(30)
        with connection, contextlib.suppress(OSError, EOFError):
            connection.sendall(self._greeting)
            if self._greeting:
                self.data = self._first_data(connection)
                connection.sendall(self._answer)
            if self._reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif self._answer:
                while connection.recv(65536):  # until the client has read it and hangs up
                    pass

    def _first_data(self, connection: socket.socket) -> bytes:
        with connection.makefile("rb") as stream:
            stream.read(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
            while head := stream.read(9):
                payload = stream.read(int.from_bytes(head[:3], "big"))
                if head[3] == DATA and payload:
                    return payload
        raise EOFError
