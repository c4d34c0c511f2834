"""The words of `assay traces`; the work is in `traces`."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ("traces_app",)

traces_app = typer.Typer(
    rich_markup_mode=None,
    invoke_without_command=True,
    help="What runs did, as recorded with --trace: list, show, prune.",
)

FromOption = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="where spans were written to (default: ASSAY_TRACE if it is a file, "
        "else .assay/traces.db)",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]


@traces_app.callback()
def listed(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="how many, newest first")] = 20,
    source: FromOption = None,
    json: JsonOption = False,
) -> None:
    """What runs did, as recorded with --trace: list them, show one, write it as a page."""
    if context.invoked_subcommand is not None:
        if source is not None or json:
            raise typer.BadParameter(
                "give options after the command: assay traces show --from FILE"
            )
    else:
        from .traces import list_traces

        list_traces(source, limit, json)


@traces_app.command()
def show(
    id: Annotated[
        str,
        typer.Argument(
            help="a trace's id, or a span's for what is below it, or how it begins, or `latest`"
        ),
    ] = "latest",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="write it as one page of HTML")
    ] = None,
    source: FromOption = None,
    json: JsonOption = False,
) -> None:
    """Show a trace as a tree, with time, tokens and cost.

    It has every agent, model call, tool, guard and approval.
    """
    from .traces import show_trace

    show_trace(source, id, html, json)


@traces_app.command()
def prune(
    keep: Annotated[int, typer.Option("--keep", min=0, help="how many, the newest")],
    source: FromOption = None,
) -> None:
    """Delete all traces but the newest."""
    from .traces import prune_traces

    prune_traces(source, keep)
