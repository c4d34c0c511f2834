"""Traces, configured once by whoever owns the process: a command line, a service's start-up.

```python
from assay.deps.traces import configure

configure("local", secrets=settings.models().secrets)  # then: assay traces
```

The library only opens spans; until something is configured here, or by `logfire.configure` or a
tracer provider of your own, they cost next to nothing. With a provider of your own, add
`Scrubbing` as its first processor.

| target | spans go |
|---|---|
| `local` | to `.assay/traces.db`, which `assay traces` reads |
| a file `*.db`, `*.sqlite`, `*.sqlite3` | to that SQLite database |
| any other file | to that file, a line of JSON each |
| `console` | to the terminal |
| `logfire` | to Logfire; without a token or an endpoint, as `local` |

Beside that, every target sends to Logfire if a token is configured (`LOGFIRE_TOKEN`, or what
`logfire auth` has left), and to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names. Without
them nothing leaves the machine.
"""

from collections.abc import Iterable
from pathlib import Path

import logfire
from opentelemetry.sdk.trace import SpanProcessor
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from .files import Batches, JsonLines, Sink, SqliteSpans
from .form import LOCAL, is_database
from .scrubbing import Scrubbing

__all__ = ("Scrubbing", "configure", "sink_of")


class Elsewhere(BaseSettings):
    """What would have spans leave the machine, from the environment; empty where nothing is set."""

    logfire_token: str = ""
    logfire_credentials_dir: Path = Path(".logfire")
    otel_exporter_otlp_endpoint: str = ""
    otel_exporter_otlp_traces_endpoint: str = ""

    @property
    def any(self) -> bool:
        own = (self.otel_exporter_otlp_endpoint, self.otel_exporter_otlp_traces_endpoint)
        left = (self.logfire_credentials_dir / "logfire_credentials.json").exists()
        return bool(self.logfire_token or any(own) or left)


def configure(
    target: str | Path, *, content: bool | None = None, secrets: Iterable[SecretStr] = ()
) -> None:
    """Send spans to `target`: see the table above.

    Keys are taken out of all that is exported, wherever to: see `Scrubbing`.

    Args:
        target: Where to.
        content: Whether prompts, answers, and arguments and results of tools are in the spans, and
            what errors say. None is yes while nothing leaves the machine, so that a trace tells
            what happened, and no as soon as something does: sending people's texts elsewhere is
            for you to decide. Files and images are never in them.
        secrets: Texts that must not be in a span, such as configured keys.

    Raises:
        ConfigError: the database cannot be used.
        OSError: the file cannot be written.
    """
    leaves = Elsewhere().any
    keep = not leaves if content is None else content
    processors: list[SpanProcessor] = [Scrubbing(secrets, content=keep)]
    if (sink := sink_of(target, leaves=leaves)) is not None:
        processors.append(Batches(sink))
    logfire.configure(
        service_name="assay",
        send_to_logfire="if-token-present",
        console=logfire.ConsoleOptions() if target == "console" else False,
        additional_span_processors=processors,
        inspect_arguments=False,
    )
    logfire.instrument_pydantic_ai(include_content=keep, include_binary_content=False)


def sink_of(target: str | Path, *, leaves: bool = False) -> Sink | None:
    """Return what writes to a target; None if it is no file.

    Args:
        target: As `configure` takes it.
        leaves: Whether spans are sent elsewhere anyway.

    Raises:
        ConfigError: the database cannot be used.
        OSError: the file cannot be written.
    """
    if target == "console" or (target == "logfire" and leaves):
        return None
    path = LOCAL if target in ("local", "logfire") else Path(target)
    return SqliteSpans(path) if is_database(path) else JsonLines(path)
