"""Times as OpenTelemetry writes them in attributes."""

from datetime import UTC, datetime

_FIRST = int(datetime(1, 1, 1, tzinfo=UTC).timestamp()) * 10**9
_LAST = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * 10**9 + 10**9 - 1


def iso(unix_ns: int) -> str:
    """ISO 8601 in UTC with milliseconds, as semantic conventions show `process.creation.time`.

    A time that the calendar does not have (a damaged recording) becomes the nearest that it has.
    """
    unix_ns = min(max(unix_ns, _FIRST), _LAST)
    second = datetime.fromtimestamp(unix_ns // 10**9, UTC).isoformat()[:19]
    return f"{second}.{unix_ns % 10**9 // 10**6:03d}Z"
