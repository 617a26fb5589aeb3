"""What an OTLP answer says: a partial success, the reason of an error, when to come again.

Called by otlp_http and otlp_grpc for each answer. The generated classes are imported only when there is something to
read with them: the usual answer, "all accepted", has two known forms and costs neither the time nor the memory.
All text is the receiver's: it is cut, and made printable for the log.
"""

from exporter.model import Delivery, Signal

MAX_TEXT = 200

ALL_ACCEPTED = (b"", b"\n\x00")
"""An empty response message, and one with an empty partial_success, as the Collector writes it."""


def accepted(signal: Signal, body: bytes | None, content_type: str) -> Delivery:
    """The delivery for a success with this body (None: too long to be read)."""
    if body in ALL_ACCEPTED:
        return Delivery("accepted")
    try:
        rejected, text = _partial_success(signal, body, content_type)
    except ValueError:
        # Servers that are no OTLP receivers also say 200: a proxy's login page, a JSON API.
        kind = printable(content_type) or "no content type"
        return Delivery("accepted", f"the answer is no OTLP response ({kind}); is it the endpoint?")
    return Delivery("accepted", printable(text), rejected=max(rejected, 0))


def _partial_success(signal: Signal, body: bytes | None, content_type: str) -> tuple[int, str]:
    """How many records were rejected, and why; ValueError where the body is no such message."""
    if body is None:
        raise ValueError("no OTLP response is that long")
    from google.protobuf import json_format, message
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    logs, traces = ExportLogsServiceResponse(), ExportTraceServiceResponse()
    response = logs if signal == "logs" else traces
    try:
        if content_type.partition(";")[0].strip().lower() == "application/json":
            json_format.Parse(body, response, ignore_unknown_fields=True)
        else:
            response.ParseFromString(body)
    except (message.DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("no OTLP response") from error
    rejected = logs.partial_success.rejected_log_records or traces.partial_success.rejected_spans
    return rejected, response.partial_success.error_message


def message(body: bytes) -> str:
    """The reason in an error's body: of a google.rpc.Status where it is one, else the text itself.

    Loki sends a Status under any content type, so the body alone decides.
    """
    if not body:
        return ""
    from google.protobuf.message import DecodeError
    from google.rpc.status_pb2 import Status

    status = Status()
    try:
        status.ParseFromString(body)
    except DecodeError:
        return printable(body)
    return printable(status.message) or printable(body)


def retry_delay(details: bytes) -> float | None:
    """Seconds that the RetryInfo in a google.rpc.Status asks for; None where there is no RetryInfo.

    `details` is gRPC's `grpc-status-details-bin`. That it is there matters by itself: RESOURCE_EXHAUSTED with it means
    "later", without it "never like this".
    """
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    try:
        for detail in Status.FromString(details).details:
            info = RetryInfo()
            if detail.Unpack(info):
                return max(0.0, float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9))
    except DecodeError:
        pass
    return None


def printable(text: str | bytes) -> str:
    """The text fit for one line of a log: its first words and `…` where it has over 200 characters."""
    if isinstance(text, bytes):
        text = text.strip()[: MAX_TEXT * 4 + 4].decode("utf-8", "replace")
    line = "".join(c if c.isprintable() else " " for c in text.strip()[: MAX_TEXT + 1])
    if len(line) <= MAX_TEXT:
        return line.strip()
    words, _, rest = line[: MAX_TEXT - 1].rpartition(" ")
    return f"{words.rstrip()} …" if words.strip() and len(rest) < MAX_TEXT // 2 else f"{line[: MAX_TEXT - 1]}…"
