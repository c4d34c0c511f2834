"""The words of `assay route`; the work is imported when it is called."""

from typing import Annotated

import typer

from .options import JsonFileOption, MarginOption, ReplayOption, StoreOption

__all__ = ("route",)


def route(
    suite: Annotated[str, typer.Argument(help="an agent of ours, or package.module:suite")],
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="PLACE",
            help="the route: package.module:function, or path/to/file.py:function",
        ),
    ],
    small: Annotated[str, typer.Option("--small", help="a model, a role, or baseline")] = "small",
    large: Annotated[str, typer.Option("--large", help="the same")] = "large",
    runs: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--runs",
            metavar="SMALL LARGE",
            help="weigh the route on two runs that are stored; no model is called",
        ),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="per case, on each model")] = 1,
    max_concurrency: Annotated[
        int, typer.Option("--max-concurrency", min=1, help="trials under way at once")
    ] = 10,
    replay: ReplayOption = "off",
    margin: MarginOption = 0.05,
    json: JsonFileOption = None,
    store: StoreOption = ".assay/runs.db",
) -> None:
    """Show what a route between a small and a large model buys.

    It tells, too, whether a coin would do.

    A route is a plain function of a case's inputs that returns "small" or "large". All cases are
    run on both models; what the route comes to is made of these two runs, so other routes are
    tried on them, with --runs, for nothing. Exits with 1 where a check regressed from a coin that
    sends as many cases to large: the route sends the wrong ones.
    """
    from .route import RouteOptions, weigh_route

    options = RouteOptions(
        small=small,
        large=large,
        runs=runs,
        trials=trials,
        max_concurrency=max_concurrency,
        replay=replay,
        margin=margin,
        json=json,
        store=store,
    )
    weigh_route(suite, by, options)
