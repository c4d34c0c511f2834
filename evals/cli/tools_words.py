"""The words of `assay tools`; the work is imported when it is called."""

from typing import Annotated

import typer

__all__ = ("tools",)


def tools(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[TOOL]...", help="these, with all there is")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List the tools: what each does and needs, and who has it."""
    from .tools import list_tools

    list_tools(names or [], json)
