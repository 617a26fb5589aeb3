"""A URL of a receiver taken apart, or what is wrong with it.

`config` asks for the agent's metrics, the OTLP sinks for their endpoints: one rule for both.
"""

import re
from urllib.parse import SplitResult, urlsplit

HINT = "write it as http://host:4318 or https://host:4318"


def split(url: str) -> SplitResult:
    """`url` taken apart; ValueError with words that follow the setting's name, and never the URL: it can hold a key."""
    if not url.isascii() or re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError("has spaces or other characters that a URL cannot hold")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that does not close
        usable = False
    if not usable:
        raise ValueError("is no http or https URL with a host")
    return parts
