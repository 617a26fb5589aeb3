"""Headers that a user wants on each OTLP request: read, and refused where they could not be sent.

`otlp_environment` calls it for the setting `headers` and for OTEL_EXPORTER_OTLP_HEADERS. No value gets into an error:
it ends in a log, and is a key as a rule.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from exporter.errors import ConfigError

OURS = frozenset({"content-type", "content-encoding", "content-length", "transfer-encoding"})
"""Headers that say what the body is; nobody else may."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_METADATA = re.compile(r"[0-9a-z_.-]+")
_METADATA_TEXT = re.compile(r"[\x20-\x7e]*")


def listed(text: str, where: str) -> list[tuple[str, str]]:
    """Names and values of `name=value,name=value`, percent-encoded."""
    return [_pair(member, where) for member in text.split(",") if member.strip()]


def checked(pairs: Iterable[tuple[str, str]], where: str, *, grpc: bool) -> dict[str, str]:
    """The headers by their names in lower case.

    Raises:
        ConfigError: a header that cannot be sent, or that is not the user's to set.
    """
    found = dict(_header(name, value, where) for name, value in pairs)
    if grpc:
        for name, value in found.items():
            _check_metadata(name, value, where)
    return found


def _pair(member: str, where: str) -> tuple[str, str]:
    """One `key=value` of W3C baggage: the value is percent-encoded UTF-8, the key a token."""
    name, equals, value = member.partition("=")
    if not equals:
        raise ConfigError("is no list of name=value", where=where, hint="percent-encode commas in values")
    try:
        return name.strip(), unquote_to_bytes(value.strip()).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"the value of {name.strip()} is not UTF-8 when decoded", where=where) from error


def _header(name: str, value: str, where: str) -> tuple[str, str]:
    if not _TOKEN.fullmatch(name):
        raise ConfigError("has a name that no header can have", where=where)
    if _CONTROL.search(value):
        raise ConfigError(f"the value of {name} has control characters", where=where)
    if name.lower() in OURS:
        raise ConfigError(f"{name} cannot be set", where=where, hint="podwitness sets it for each request")
    return name.lower(), value.strip()


def _check_metadata(name: str, value: str, where: str) -> None:
    """GRPC over HTTP2: names of fewer characters, ASCII values but for `-bin` names, and some are gRPC's own."""
    if not _METADATA.fullmatch(name):
        raise ConfigError(f"{name} is a name that gRPC metadata cannot have", where=where)
    if name == "te" or name.startswith("grpc-"):
        raise ConfigError(f"{name} cannot be set", where=where, hint="gRPC sets it for each request")
    if not name.endswith("-bin") and not _METADATA_TEXT.fullmatch(value):
        raise ConfigError(f"the value of {name} is not ASCII, and gRPC metadata is", where=where)
