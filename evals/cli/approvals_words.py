"""The words of `assay approvals`; the work is in `approvals`."""

from pathlib import Path
from typing import Annotated

import typer

from .options import ModelOption, TraceOption

__all__ = ("approvals_app",)

approvals_app = typer.Typer(
    rich_markup_mode=None,
    invoke_without_command=True,
    help="Runs that wait for people: list, decide, let them go on.",
)

ApprovalsStoreOption = Annotated[
    str,
    typer.Option("--store", help="where paused runs are kept: a file, or a PostgreSQL URL"),
]
IdArgument = Annotated[str, typer.Argument(help="a paused run's id, or how it begins")]
CallOption = Annotated[
    str | None,
    typer.Option("--call", help="a call's id, or how it begins (default: all that are undecided)"),
]
ByOption = Annotated[str, typer.Option("--by", help="who decides (default: you, as logged in)")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]

DEFAULT = ".assay/approvals.db"


@approvals_app.callback()
def listed(
    context: typer.Context,
    store: ApprovalsStoreOption = DEFAULT,
    all_: Annotated[bool, typer.Option("--all", help="finished ones, too")] = False,
    json: JsonOption = False,
) -> None:
    """List the runs that wait for people: which call, with what arguments, why, since when."""
    if context.invoked_subcommand is not None:
        if store != DEFAULT or all_ or json:
            raise typer.BadParameter(
                "give options after the command: assay approvals show ID --store WHERE"
            )
    else:
        from .approvals import list_paused

        list_paused(store, all_, json)


@approvals_app.command()
def show(id: IdArgument, store: ApprovalsStoreOption = DEFAULT, json: JsonOption = False) -> None:
    """Show a paused run: its calls, decisions, and what came of it."""
    from .approvals import show_paused

    show_paused(store, id, json)


@approvals_app.command()
def approve(
    id: IdArgument,
    call: CallOption = None,
    reason: Annotated[str | None, typer.Option("--reason", help="why, for the record")] = None,
    by: ByOption = "",
    store: ApprovalsStoreOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Approve a call as it is, or all that are undecided."""
    from .approvals import Target, approve_calls

    approve_calls(Target(store=store, id=id, call=call, by=by, json=json), reason)


@approvals_app.command()
def edit(
    id: IdArgument,
    arguments: Annotated[
        str, typer.Option("--arguments", help="all arguments, as a JSON object; - for stdin")
    ],
    call: Annotated[
        str | None,
        typer.Option("--call", help="a call's id, or how it begins; needed if there are several"),
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="why, for the record")] = None,
    by: ByOption = "",
    store: ApprovalsStoreOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Approve a call with other arguments.

    Its tool checks them when the run is resumed.
    """
    from .approvals import Target, edit_call

    edit_call(Target(store=store, id=id, call=call, by=by, json=json), arguments, reason)


@approvals_app.command()
def deny(
    id: IdArgument,
    reason: Annotated[str, typer.Option("--reason", help="why; the model is told")],
    call: CallOption = None,
    by: ByOption = "",
    store: ApprovalsStoreOption = DEFAULT,
    json: JsonOption = False,
) -> None:
    """Deny a call, or all that are undecided."""
    from .approvals import Target, deny_calls

    deny_calls(Target(store=store, id=id, call=call, by=by, json=json), reason)


@approvals_app.command()
def resume(
    id: IdArgument,
    store: ApprovalsStoreOption = DEFAULT,
    model: ModelOption = None,
    trace: TraceOption = None,
    bank: Annotated[
        str, typer.Option(help="support: a file or URL, the same as `assay run` was given")
    ] = ".assay/bank.db",
    todos: Annotated[str, typer.Option(help="todo: the same")] = ".assay/todos.db",
    zone: Annotated[str, typer.Option(help="todo: the same (default: this machine's)")] = "",
    json: JsonOption = False,
) -> None:
    """Let a run go on, once all its calls are decided.

    What comes of it is printed.

    Exit code 1 if it cannot go on yet, or waits again.
    """
    from .approvals import resume_paused
    from .door import start
    from .run import Options

    options = Options(
        labels=None, target="", guide=None, out=Path(), bank=bank, todos=todos, zone=zone
    )
    resume_paused(store, id, start(model, trace), options, json)
