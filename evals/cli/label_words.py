"""The words of `assay label`; the work is imported when it is called."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import StoreOption

__all__ = ("label",)


def label(
    run: Annotated[
        str, typer.Argument(help="a run's id, or how it begins, or `latest`")
    ] = "latest",
    check: Annotated[
        list[str] | None, typer.Option("--check", help="a judged check's name; repeatable")
    ] = None,
    suite: Annotated[
        list[str] | None, typer.Option("--suite", help="one of the run's agents; repeatable")
    ] = None,
    order: Annotated[
        Literal["random", "disagreement"],
        typer.Option(help="only labels of items in random order correct a judge's mean"),
    ] = "random",
    like: Annotated[
        str | None,
        typer.Option(
            "--like", metavar="RUN", help="draw the cases that this run's order begins with"
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="how many items, for each rater")
    ] = None,
    rater: Annotated[str, typer.Option("--rater", help="who labels (default: the page asks)")] = "",
    show_expected: Annotated[
        bool, typer.Option("--show-expected", help="show what the case expects, too")
    ] = False,
    browser: Annotated[
        bool, typer.Option("--open/--no-browser", help="open the page in the browser")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export", metavar="FILE", help="write all labels as JSON Lines; - for stdout"
        ),
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="add the labels of such a file")
    ] = None,
    store: StoreOption = ".assay/runs.db",
) -> None:
    """Label a run's outputs on a local page.

    It is blind to what the run's judges said, and goes on where you stopped. Several people may
    label, each under their name. Then it shows how far the judges agree with
    people, and their means without their errors.
    """
    from .label import LabelOptions, label_run

    options = LabelOptions(
        checks=tuple(check or ()),
        suites=tuple(suite or ()),
        order=order,
        like=like,
        limit=limit,
        rater=rater,
        show_expected=show_expected,
        browser=browser,
    )
    label_run(store, run, options, export=export, import_=import_)
