"""Options that several commands have."""

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = (
    "JsonFileOption",
    "MarginOption",
    "ModelOption",
    "ReplayOption",
    "StoreOption",
    "TraceOption",
)

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
