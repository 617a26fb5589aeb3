"""`record` writes what the kernel says to a file, `replay` sends such a file through the pipeline."""

import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

from exporter.agent import Pipeline
from exporter.commands.node import Node, hierarchy, open_kernel
from exporter.config import Config
from exporter.source.recording import Recorder, Recording
from exporter.telemetry import Ledger


def record(config: Config, path: Path, stop: threading.Event, duration: float | None = None) -> int:
    """Write what the kernel hands over to `path` until `stop` or `duration`; returns the number of samples."""
    end = time.monotonic() + duration if duration else None
    with (
        closing(open_kernel(config, hierarchy(config))) as kernel,
        closing(Recorder(path, kernel)) as recorder,
    ):
        recorder.snapshot(kernel.snapshot(), time.time_ns())
        while not stop.is_set() and (end is None or time.monotonic() < end):
            kernel.wait()
            recorder.batch(kernel.read(), time.time_ns())
            kernel.acknowledge()
        for samples in kernel.rest():
            recorder.batch(samples, time.time_ns())
    return recorder.count


def replay(config: Config, path: Path, stop: threading.Event, *, where: str) -> Ledger:
    """Send a recording, until `stop` is set, through the pipeline, without root and kernel; returns the counts."""
    ledger = Ledger()
    with ExitStack() as stack:
        recording = Recording(path)
        stack.callback(recording.close)
        node = Node(config, ledger, None)
        stack.callback(node.close)
        pipeline = Pipeline(config, recording, node.resources, ledger, where=where)
        stack.callback(pipeline.close)
        node.start()
        for line in recording.lines():
            if stop.is_set() or ledger.deserted:
                break
            if line.seen:
                pipeline.seed(line.seen, recording.offset(), line.observed)
            pipeline.process(line.samples, recording.offset(), line.observed)
        pipeline.finish({}, dict)
    return ledger
