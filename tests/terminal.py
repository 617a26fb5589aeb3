"""The command line as a user has it: good and bad settings, with and without root, and what the file sink wrote."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.kernel.recorded import PODWITNESS

ROOT = Path(__file__).parents[1]
NOBODY = 65534
TO_STDOUT = "sinks: {terminal: {type: stdout}}"


def podwitness(*arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    command = [PODWITNESS, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **more)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line said by a command that refused: exit code 1, on stderr, no traceback."""
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


def as_nobody(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run without root.

    The checkout may lie where nobody can look (/root): it is shown at /mnt, in a mount namespace that ends with
    the command.
    """
    if os.geteuid() != 0:
        return podwitness(*arguments)
    enter = 'mount --bind "$1" /mnt && shift && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
    command = ["/mnt/.venv/bin/python", "-m", "exporter.cli", *map(str, arguments)]
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", enter, "sh", str(ROOT), *command],
        env=os.environ | {"PYTHONPATH": "/mnt"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def written(folder: Path, settings: object, name: str = "config.yaml") -> Path:
    """A settings file that everybody may read; the spool is in `folder`, where the settings can be read at all."""
    path = folder / name
    text = settings if isinstance(settings, str) else yaml.safe_dump(settings)
    if "spool" not in (_read(text) or {"spool"}):
        text += f"\nspool: {{path: {folder / 'spool'}}}\n"
    path.write_text(text)
    path.chmod(0o644)
    return path


def _read(text: str) -> dict[str, Any] | None:
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return None
    return tree if isinstance(tree, dict) else None


def to_file(folder: Path, **more: object) -> dict[str, Any]:
    """Settings with a file sink, each record a line: so its order is the order of events."""
    sink = {"type": "file", "path": str(folder / "events.jsonl"), "batch": {"max_records": 1}, **more}
    return {"kubernetes": {"mode": "off"}, "sinks": {"file": sink}}


BAD = {
    "an unknown key": ("sinks: {}\nkernal: {}", "unknown key kernal (did you mean kernel?)"),
    "an unknown key deep inside": (
        "sinks: {a: {type: file, batch: {max_record: 1}}}",
        "sinks.a.batch: unknown key max_record (did you mean max_records?)",
    ),
    "a wrong type": ("sinks: {a: {type: file, max_bytes: much}}", "sinks.a.max_bytes: expected `int`, got `str`"),
    "an unknown sink": ("sinks: {a: {type: loki}}", "sinks.a.type: cannot be loki"),
    "no sinks": ("kernel: {}", "has no sinks"),
    "an empty file": ("", "expected a mapping, got nothing"),
    "bad YAML": ("sinks: {a: [}", "line 1: is not YAML"),
    "a tab": ("sinks:\n\ta: 1", "line 2: is not YAML"),
    "a variable that is not set": (
        "sinks: {a: {type: file, path: '${PODWITNESS_UNSET}'}}",
        "sinks.a.path: the environment has no PODWITNESS_UNSET",
    ),
    "events that match nothing": (
        "sinks: {a: {type: file, events: {include: [files.*]}}}",
        "sinks.a.events",
    ),
    "events that nobody looks at": (
        "sinks: {a: {type: file, events: {include: [process.exec, file.open]}}}",
        "sinks.a.events.include[1]: file.open is not looked at (add file.open to observe.types.include)",
    ),
    "fields that match nothing": (
        "sinks: {a: {type: file, fields: [{exclude: [proces.*]}]}}",
        "sinks.a.fields",
    ),
    "no sink": ("sinks: {}", "sinks: no sink: events would go nowhere (`terminal: {type: stdout}` is one)"),
    "a pattern that is none": (f"{TO_STDOUT}\nredaction: {{patterns: ['(']}}", "redaction"),
    "events that leave nothing": (
        "sinks: {a: {type: stdout, events: {include: [process.exec], exclude: ['*']}}}",
        "sinks.a.events: selects no event type (exclude wins over include; leave out *)",
    ),
    "one file for two signals": (
        "sinks: {a: {type: file, path: /tmp/x, spans_path: /tmp/../tmp/x}}",
        "sinks.a.spans_path: /tmp/../tmp/x would share /tmp/x with sinks.a.path",
    ),
    "one file for two sinks": (
        "sinks: {a: {type: file, path: /tmp/x}, b: {type: file, path: /tmp/x.3}}",
        "sinks.b.path: /tmp/x.3 would share /tmp/x.3 with sinks.a.path",
    ),
    "a queue that holds no batch": (
        "sinks: {a: {type: stdout, queue: {max_bytes: 1000}}}",
        "sinks.a: queue.max_bytes is 1000, less than batch.max_bytes, which is 3500000",
    ),
    "metrics for nobody": (
        f"{TO_STDOUT}\ntelemetry: {{metrics_endpoint: not a url}}",
        "telemetry: metrics_endpoint has spaces or other characters that a URL cannot hold (write it as http://",
    ),
    "a date that is none": (
        "sinks: {a: {type: stdout, timestamps: 2024-13-45}}",
        "line 1: is not YAML: 2024-13-45 is no timestamp",
    ),
    "an endpoint that is none": (
        "sinks: {a: {type: otlp_http, endpoint: 'collector:4318'}}",
        "sinks.a.endpoint: is no http or https URL",
    ),
    "a file that cannot be written": (
        "sinks: {a: {type: file, path: /etc/passwd/events}}",
        "sinks.a.path: /etc/passwd/events cannot be written",
    ),
    "a key for the spool that is not there": (
        f"{TO_STDOUT}\nspool: {{key_file: /nonexistent/key}}",
        "spool.key_file: /nonexistent/key cannot be read: No such file or directory",
    ),
    "a key for signatures that is not there": (
        f"{TO_STDOUT}\ntamper_evidence: {{key_file: /nonexistent/key}}",
        "tamper_evidence.key_file: /nonexistent/key cannot be read: No such file or directory",
    ),
    "a ring of a size that no ring has": (
        "sinks: {}\nkernel: {lifecycle_ring_bytes: 100000}",
        "kernel: lifecycle_ring_bytes is 100000, which is no power of two",
    ),
}
"""Settings that nobody can run with, and what is said of them."""


def numbers(summary: str) -> tuple[int, int]:
    """Seen, and sent by the sink `file`, of a summary in which nothing was dropped."""
    found = re.fullmatch(r"podwitness: seen (\d+); file: sent (\d+), dropped 0", summary)
    assert found, summary
    return int(found[1]), int(found[2])


def lines(folder: Path) -> list[dict[str, Any]]:
    """The log records in the file of `to_file`, in its order."""
    found: list[dict[str, Any]] = []
    for line in (folder / "events.jsonl").read_text().splitlines():
        (resource,) = json.loads(line)["resourceLogs"]
        found += resource["scopeLogs"][0]["logRecords"]
    return found


def attribute(record: dict[str, Any], name: str) -> Any:
    return next((pair["value"] for pair in record["attributes"] if pair["key"] == name), {})


def arguments(record: dict[str, Any]) -> list[str]:
    values = attribute(record, "process.command_args").get("arrayValue", {}).get("values", [])
    return [value["stringValue"] for value in values]
