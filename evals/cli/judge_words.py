"""The words of `assay judge`; the work is in `judge`."""

from pathlib import Path
from typing import Annotated

import typer

from .options import StoreOption

__all__ = ("judge_app",)

judge_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Calibrate judges with people's labels; look for their biases.",
)

LabelsOption = Annotated[
    Path,
    typer.Option(
        "--labels", help="labelled items, a JSON object a line; see evals/judges/items.py"
    ),
]
JudgeOption = Annotated[
    str, typer.Option("--judge", help="a model's name, or baseline (default: ASSAY_JUDGE_MODEL)")
]
ConcurrencyOption = Annotated[
    int, typer.Option("--max-concurrency", min=1, help="items asked about at once")
]


@judge_app.command()
def calibrate(
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", help="labelled items, a JSON object a line; see evals/judges/items.py"
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            help="instead: a run whose outputs people labelled (assay label); no model is called",
        ),
    ] = None,
    judge: JudgeOption = "judge",
    family: Annotated[
        str, typer.Option("--family", help="the kind of rubric: a judged check's name or family")
    ] = "rubric",
    verdicts: Annotated[
        Path | None,
        typer.Option("--verdicts", help="verdicts recorded elsewhere, by id; no model is called"),
    ] = None,
    floor: Annotated[
        float, typer.Option("--floor", min=-1, max=1, help="what kappa's lower end must reach")
    ] = 0.6,
    store: StoreOption = ".assay/runs.db",
    max_concurrency: ConcurrencyOption = 10,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare a judge with people.

    From then on its checks gate, if it agrees with them.
    """
    from .door import start
    from .judge import calibrate_judge, calibrate_run

    if (run is None) == (labels is None) or (run is not None and verdicts is not None):
        raise typer.BadParameter("give --labels FILE, with --verdicts or without, or --run RUN")
    if run is not None:
        calibrate_run(run, store=store, floor=floor, json=json)
        return
    assert labels is not None
    calibrate_judge(
        start(None, None),
        labels,
        judge=judge,
        family=family,
        verdicts=verdicts,
        store=store,
        floor=floor,
        max_concurrency=max_concurrency,
        json=json,
    )


@judge_app.command()
def bias(
    labels: LabelsOption,
    judge: JudgeOption = "judge",
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", help="0.1 for every change, order=0.1 for one; repeatable"),
    ] = None,
    own_family: Annotated[
        str | None,
        typer.Option("--own-family", help="as items' writers name it (default: guessed)"),
    ] = None,
    max_concurrency: ConcurrencyOption = 10,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Ask about items with changes that should not matter.

    Such are the order, padding, tone, ...

    Exit code 1 if a rate is above its limit beyond doubt.
    """
    from .door import start
    from .judge import bias_of

    found = bias_of(
        start(None, None),
        labels,
        judge=judge,
        limits=limit or (),
        own_family=own_family,
        max_concurrency=max_concurrency,
        json=json,
    )
    raise typer.Exit(found)


@judge_app.command("list")
def listed(
    store: StoreOption = ".assay/runs.db",
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List the calibrated judges, and which may gate."""
    from .judge import list_judges

    list_judges(store, json)
