"""Traces, configured once by whoever owns the process: the CLI or the pytest plugin.

The library only opens spans; until something is configured here they cost next to nothing. Nothing
leaves the machine unless a Logfire token says so.
"""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TextIO

import logfire
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

__all__ = ("configure",)


class JsonLines(SpanExporter):
    """Write each finished span as one line of JSON."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            self._file.writelines(f"{span.to_json(indent=None)}\n" for span in spans)
            self._file.flush()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._file.close()


def configure(target: str) -> None:
    """Send spans to `target`: `console`, `logfire`, or a file that gets a line of JSON per span.

    `logfire` sends to Logfire if a token is configured, as every other target also does; without a
    token nothing leaves the machine.

    Raises:
        OSError: the file cannot be written.
    """
    processors = None
    if target not in ("console", "logfire"):
        file = Path(target).open("a", encoding="utf-8")  # noqa: SIM115 - closed by shutdown()
        processors = [SimpleSpanProcessor(JsonLines(file))]
    logfire.configure(
        service_name="assay",
        send_to_logfire="if-token-present",
        console=logfire.ConsoleOptions() if target == "console" else False,
        additional_span_processors=processors,
        inspect_arguments=False,
    )
    logfire.instrument_pydantic_ai()
