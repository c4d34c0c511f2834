"""What a route buys: quality, dollars and seconds, beside one model for all, and beside a coin.

A route is a plain function of a case's inputs that says which model answers:

```python
def by_length(message: str) -> Role:
    return "large" if len(message) > 500 else "small"


found = await trade(suite, by_length, models=models)
```

All cases are run on the small model and on the large one. What a route comes to is then known
without asking anybody: each case's result is that of the model that the route picks. So routes are
compared on the same two runs, and any other one is tried on them for nothing (`retrade`).

Large models are better and dearer, so any mixture of the two lies between them. A route is worth
something if it does better than a mixture at random: a coin that sends as many cases to large, or
one that costs as much (`statistics.routes`). A random router is also what Ong et al. (RouteLLM,
arXiv:2406.18665) hold theirs against.
"""

from collections.abc import Callable, Collection, Iterable
from contextlib import nullcontext
from typing import Any

from ..deps.errors import ConfigError
from ..deps.models import Models
from ..deps.replay.tape import Mode
from .cases import Cases
from .engine import AnySuite, OnResult, evaluate
from .outcome import TrialResult
from .runs import StoredResults, begin, figures, marked, model_of
from .store.database import RunStore
from .store.rows import Run
from .trade import Trade, weigh
from .verdicts import MARGIN

__all__ = ("Route", "name_of", "retrade", "sent_to_large", "trade")

Route = Callable[[Any], str]
"""From a case's inputs to `small` or `large`, or to the name that one of them stands for."""


async def trade(
    suite: AnySuite,
    route: Route,
    *,
    models: Models | None = None,
    small: str = "small",
    large: str = "large",
    trials: int = 1,
    max_concurrency: int = 10,
    store: RunStore | None = None,
    where: str | None = None,
    replay: Mode = "off",
    margin: float = MARGIN,
    on_result: OnResult | None = None,
) -> Trade:
    """Run a suite on two models, and weigh what a route between them buys.

    In each run every role but the judge's and that of embeddings stands for its model, so an
    agent that names a role itself is asked as if it had been routed.

    Args:
        suite: What to run.
        route: Picks `small` or `large` for the inputs of each case.
        models: What model names mean.
        small: The role or model that answers easy cases; `baseline` is one too.
        large: The role or model that answers the others.
        trials: Executions per case, on each model.
        max_concurrency: How many trials are under way at once.
        store: Where the two runs are kept; in memory alone by default.
        where: By what name the suite is loaded again, where that is known.
        replay: Whether responses are recorded and replayed. What is replayed has no cost.
        margin: How much worse a mean may be and still be no worse.
        on_result: Called, and awaited, with each result as it is finished.

    Raises:
        ConfigError: both names stand for one model, or the task does not heed which is named; the
            route fails on a case, or picks neither of them.
        BadDataset: the cases cannot be read.
    """
    models = models or Models()
    names = models.named(small), models.named(large)
    aliases = ({"small", small, names[0]}, {"large", large, names[1]})
    used = tuple(models.using(name) for name in names)
    _refuse_alike(suite, *used)
    sent = sent_to_large(suite, route, *aliases)  # what is wrong with it is told before any cost
    runs = [_begun(store, suite, one, trials, where) for one in used]
    results: list[Iterable[TrialResult]] = []
    for one, run in zip(used, runs, strict=True):
        with nullcontext() if store is None or run is None else marked(store, run):
            report = await evaluate(
                suite,
                models=one,
                trials=trials,
                max_concurrency=max_concurrency,
                store=store,
                run=run,
                replay=replay,
                on_result=on_result,
            )
        results.append(figures(report.results))
    on_small, on_large = results
    return weigh(
        on_small,
        on_large,
        sent,
        suite=suite.name,
        route=name_of(route),
        models=(suite.answers(used[0]), suite.answers(used[1])),
        margin=margin,
        runs=tuple(run.id for run in runs if run is not None),
    )


def retrade(
    suite: AnySuite,
    route: Route,
    *,
    store: RunStore,
    small: Run,
    large: Run,
    margin: float = MARGIN,
) -> Trade:
    """Weigh a route on two runs that are stored; no model is called.

    Args:
        suite: What was run.
        route: Picks `small` or `large` for the inputs of each case.
        store: Where the runs are.
        small: The run on the small model.
        large: The run on the large one.
        margin: How much worse a mean may be and still be no worse.

    Raises:
        ConfigError: a run has nothing of this suite, the two have no case in common, the route
            fails on a case, or picks neither of them.
    """
    for run in (small, large):
        if suite.name not in run.suites:
            raise ConfigError(
                f"run {run.id} has nothing of {suite.name!r} but {', '.join(run.suites)}; "
                "`assay runs` lists the runs"
            )
    named = model_of(small, suite.name), model_of(large, suite.name)
    return weigh(
        StoredResults(store, small, suite.name).figures(),
        StoredResults(store, large, suite.name).figures(),
        sent_to_large(suite, route, {"small", named[0]}, {"large", named[1]}),
        suite=suite.name,
        route=name_of(route),
        models=named,
        margin=margin,
        runs=(small.id, large.id),
    )


def sent_to_large(
    suite: AnySuite, route: Route, small: Collection[str], large: Collection[str]
) -> frozenset[str]:
    """Return the cases, known by their content, that a route sends to large.

    Args:
        suite: Whose cases.
        route: The route.
        small: What it may say for the small model.
        large: What it may say for the large one.

    Raises:
        ConfigError: it fails on a case, or says something else.
    """
    cases = Cases.of(suite)
    sent: set[str] = set()
    for case, key in zip(cases, cases.keys, strict=True):
        try:
            picked: object = route(case.inputs)
        except Exception as e:  # it is the caller's own function
            raise ConfigError(
                f"the route {name_of(route)!r} fails on case {case.name!r}: {type(e).__name__}: {e}"
            ) from e
        if picked not in small and picked not in large:
            raise ConfigError(
                f"the route {name_of(route)!r} sends case {case.name!r} to {picked!r}; "
                "only 'small' and 'large' are compared here"
            )
        if picked in large:
            sent.add(key)
    return frozenset(sent)


def name_of(route: Route) -> str:
    """Return what a route is called."""
    return str(getattr(route, "__name__", repr(route)))


def _begun(
    store: RunStore | None, suite: AnySuite, models: Models, trials: int, where: str | None
) -> Run | None:
    if store is None:
        return None
    places = {suite.name: where or suite.name}
    return begin(store, [suite], models=models, trials=trials, where=places)


def _refuse_alike(suite: AnySuite, small: Models, large: Models) -> None:
    answers = suite.answers(small)
    if answers == suite.answers(large):
        raise ConfigError(
            f"small and large are both {answers!r} for suite {suite.name!r}; name two models with "
            "ASSAY_SMALL_MODEL and ASSAY_LARGE_MODEL, or --small and --large. The task has to use "
            "those of its trial: a plain function that brings its own model cannot be routed"
        )
