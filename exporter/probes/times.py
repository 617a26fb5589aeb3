"""Times as OpenTelemetry writes them in attributes."""

from datetime import UTC, datetime


def iso(unix_ns: int) -> str:
    """ISO 8601 in UTC with milliseconds, as semantic conventions show `process.creation.time`."""
    moment = datetime.fromtimestamp(unix_ns // 10**9, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{unix_ns % 10**9 // 10**6:03d}Z"
