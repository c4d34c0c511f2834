"""Options that several commands have."""

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = (
    "EPILOG",
    "JsonFileOption",
    "MarginOption",
    "ModelOption",
    "ReplayOption",
    "StoreOption",
    "TraceOption",
)

EPILOG = """\
Exit codes: 0 pass, 1 a threshold was missed or there is no answer (yet), \
2 wrong usage or configuration, 3 a provider failed, 4 a budget ended the run.

Settings, from the environment or .env: ASSAY_MODEL, ASSAY_SMALL_MODEL, ASSAY_LARGE_MODEL, \
ASSAY_JUDGE_MODEL, ASSAY_EMBED_MODEL, ASSAY_FALLBACK, ASSAY_BASE_URL, ASSAY_API_KEY, \
ASSAY_LITELLM_BASE_URL, ASSAY_LITELLM_API_KEY, ASSAY_OUTPUT_MODE, ASSAY_TRANSPORT, \
ASSAY_TIMEOUT, ASSAY_RUN_TIMEOUT, ASSAY_TOOL_TIMEOUT, ASSAY_MAX_CONCURRENCY, \
ASSAY_REQUESTS_PER_MINUTE, ASSAY_TOKENS_PER_MINUTE, ASSAY_CACHE, ASSAY_CACHE_SECONDS, \
ASSAY_TRACE, ASSAY_TRACE_CONTENT. From the environment alone: ASSAY_STORE, ASSAY_TRACE_URL.\
"""

JsonFileOption = Annotated[
    Path | None, typer.Option("--json", help="write everything to a file; - for stdout")
]

ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="baseline, openai:gpt-5, ... (default: ASSAY_MODEL)"),
]
TraceOption = Annotated[
    str | None,
    typer.Option(
        "--trace",
        help="local (then: assay traces), a database (*.db), another file for one JSON line per "
        "span, console, or logfire; nothing leaves the machine without a Logfire token or an "
        "OTLP endpoint",
    ),
]

StoreOption = Annotated[
    str,
    typer.Option(
        "--store", envvar="ASSAY_STORE", help="where runs are kept: a file, or a PostgreSQL URL"
    ),
]

MarginOption = Annotated[
    float, typer.Option("--margin", min=0, max=1, help="how much worse a mean may be: no worse")
]

ReplayOption = Annotated[
    Literal["auto", "only", "off", "refresh"],
    typer.Option(
        "--replay",
        help="auto: answer from recordings and record the rest; only: from recordings alone; "
        "refresh: record anew",
    ),
]
