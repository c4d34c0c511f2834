"""The words of `assay mcp`; the work is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from .options import ModelOption, TraceOption

__all__ = ("mcp",)


def mcp(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="AGENT", help="default: those that only read"),
    ] = None,
    http: Annotated[
        int | None,
        typer.Option(
            "--http", metavar="PORT", min=0, max=65535, help="serve over HTTP; 0: a free port"
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="where to listen; whoever reaches it can use the agents")
    ] = "127.0.0.1",
    max_concurrency: Annotated[
        int, typer.Option("--max-concurrency", min=1, help="calls under way at once")
    ] = 10,
    model: ModelOption = None,
    trace: TraceOption = None,
    labels: Annotated[
        Path | None, typer.Option(help="triage, desk: a YAML taxonomy (default: a sample)")
    ] = None,
    target: Annotated[
        str, typer.Option(help="extract: invoice, booking, contact_change, or package.module:Model")
    ] = "invoice",
    guide: Annotated[Path | None, typer.Option(help="copy_editor: a YAML style guide")] = None,
    documents: Annotated[
        Path | None, typer.Option(help="answer: a folder of text, Markdown, HTML or PDF files")
    ] = None,
) -> None:
    """Serve agents as tools to any MCP client, over stdio or HTTP."""
    from .door import start
    from .mcp import Listening, serve_agents
    from .run import Options

    options = Options(labels=labels, target=target, guide=guide, out=Path(), documents=documents)
    listening = None if http is None else Listening(host=host, port=http)
    serve_agents(names or [], start(model, trace), options, listening, max_concurrency)
