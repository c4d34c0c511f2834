"""The command line. This module holds only the words; the work is imported by each command."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from .approvals_words import approvals_app
from .judge_words import judge_app
from .label_words import label
from .mcp_words import mcp
from .options import (
    EPILOG,
    JsonFileOption,
    MarginOption,
    ModelOption,
    ReplayOption,
    StoreOption,
    TraceOption,
)
from .route_words import route
from .tools_words import tools
from .traces_words import traces_app

__all__ = ("app", "main")

app = typer.Typer(
    name="assay",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: rich would double the time of --help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Typed AI agents that come with their proof.",
    epilog=EPILOG,
)

app.add_typer(approvals_app, name="approvals")
app.add_typer(judge_app, name="judge")
app.add_typer(traces_app, name="traces")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False,
) -> None:
    """Typed AI agents that come with their proof."""


@app.command()
def agents(
    score: Annotated[
        bool, typer.Option("--score/--no-score", help="evaluate the baselines (some seconds)")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List the agents, their cases, and their baselines' scores."""
    from .agents import list_agents

    list_agents(score, json)


@app.command()
def models(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="models or roles; default: what is configured"),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="call each: one word, then an output in every output mode"),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List the configured models, what servers offer, and what works."""
    from .door import start
    from .models import show_models

    show_models(start(None, None), names or [], check, json)


@app.command()
def run(
    agent: Annotated[str, typer.Argument(help="an agent's name; see `assay agents`")],
    text: Annotated[
        list[str] | None, typer.Argument(help="the text, or files to read; else standard input")
    ] = None,
    file: Annotated[
        list[Path] | None, typer.Option("--file", "-f", help="a file to read; repeatable")
    ] = None,
    model: ModelOption = None,
    trace: TraceOption = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    labels: Annotated[
        Path | None, typer.Option(help="triage, desk: a YAML taxonomy (default: a sample)")
    ] = None,
    target: Annotated[
        str, typer.Option(help="extract: invoice, booking, contact_change, or package.module:Model")
    ] = "invoice",
    guide: Annotated[Path | None, typer.Option(help="copy_editor: a YAML style guide")] = None,
    out: Annotated[
        Path, typer.Option(help="copy_editor: folder of the reports and the issue database")
    ] = Path("review"),
    documents: Annotated[
        Path | None, typer.Option(help="answer: a folder of text, Markdown, HTML or PDF files")
    ] = None,
    bank: Annotated[
        str, typer.Option(help="support: a file or URL; an empty one is filled with a sample")
    ] = ".assay/bank.db",
    customer: Annotated[str, typer.Option(help="support: the id of who is logged in")] = "cu-ada",
    todos: Annotated[str, typer.Option(help="todo: a file or URL")] = ".assay/todos.db",
    session: Annotated[str, typer.Option(help="todo: the conversation that this goes on")] = "here",
    zone: Annotated[
        str, typer.Option(help="todo: a time zone such as Europe/Berlin (default: this machine's)")
    ] = "",
) -> None:
    """Run one agent on a text, on files, or on standard input."""
    from .door import start
    from .run import Options, run_agent

    options = Options(
        labels=labels,
        target=target,
        guide=guide,
        out=out,
        documents=documents,
        bank=bank,
        customer=customer,
        todos=todos,
        session=session,
        zone=zone,
    )
    run_agent(agent, text or [], file or [], start(model, trace), json, options)


@app.command("eval")
def eval_(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="AGENT", help="default: every agent")
    ] = None,
    model: ModelOption = None,
    trace: TraceOption = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="executions per case")] = 1,
    max_concurrency: Annotated[
        int | None,
        typer.Option(
            "--max-concurrency",
            min=1,
            help="trials under way at once (default: 10; with --batch, all)",
        ),
    ] = None,
    batch: Annotated[
        bool,
        typer.Option(
            "--batch", help="ask in the provider's batches: for hours, at about half the price"
        ),
    ] = False,
    json: JsonFileOption = None,
    resume: Annotated[
        str | None,
        typer.Option("--resume", metavar="RUN", help="go on with a run: only what is missing"),
    ] = None,
    replay: ReplayOption = "off",
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="WHAT",
            help="compare with `baseline`, `scorecard` or a run "
            "(default: an LLM with its baseline)",
        ),
    ] = None,
    gate: Annotated[
        bool,
        typer.Option(
            "--gate",
            help="let verdicts decide, not thresholds: by the scorecard, "
            "if --against names nothing else",
        ),
    ] = False,
    margin: MarginOption = 0.05,
    inconclusive: Annotated[
        Literal["pass", "fail"], typer.Option(help="what --gate makes of an open comparison")
    ] = "pass",
    until_decided: Annotated[
        bool,
        typer.Option("--until-decided", help="stop as soon as every verdict is settled"),
    ] = False,
    aa: Annotated[
        bool,
        typer.Option("--aa", help="measure how often the gate fails although nothing has changed"),
    ] = False,
    max_usd: Annotated[
        float | None, typer.Option("--max-usd", min=0, help="stop starting trials at this cost")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="... at so many tokens")
    ] = None,
    max_requests: Annotated[
        int | None, typer.Option("--max-requests", min=1, help="... at so many model requests")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", min=0, help="... after so many seconds")
    ] = None,
    store: StoreOption = ".assay/runs.db",
) -> None:
    """Evaluate agents on their datasets, and keep the run.

    An agent is one of ours, or a suite of yours: package.module:suite, path/to/file.py:suite.
    """
    from ...deps.spending.budget import Budget
    from ..experiment import Conditions
    from .eval import EvalOptions, evaluate_agents

    budget = Budget(usd=max_usd, tokens=max_tokens, requests=max_requests, seconds=max_seconds)
    conditions = Conditions(
        trials=max(trials, 2) if aa else trials,
        max_concurrency=max_concurrency or 10,
        replay=replay,
        against=against,
        gate=gate,
        margin=margin,
        inconclusive=inconclusive,
        until_decided=until_decided,
        aa=aa,
        budget=budget,
    )
    options = EvalOptions(
        model=model,
        trace=trace,
        json=json,
        store=store,
        resume=resume,
        batch=batch,
        under_way=max_concurrency,
    )
    evaluate_agents(names or [], conditions, options)


@app.command()
def runs(
    store: StoreOption = ".assay/runs.db",
    limit: Annotated[int, typer.Option(min=1, help="how many, newest first")] = 20,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List the runs that the store keeps."""
    from .runs import list_runs

    list_runs(store, limit, json)


@app.command()
def show(
    run: Annotated[
        str, typer.Argument(help="a run's id, or how it begins, or `latest`")
    ] = "latest",
    store: StoreOption = ".assay/runs.db",
    json: Annotated[bool, typer.Option("--json", help="print JSON, every trial included")] = False,
) -> None:
    """Show a run: its tables, and the cases that failed."""
    from .runs import show_run

    show_run(store, run, json)


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="the reference run")],
    b: Annotated[str, typer.Argument(help="the run that is judged")] = "latest",
    margin: MarginOption = 0.05,
    store: StoreOption = ".assay/runs.db",
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare two runs case by case.

    Each check has improved, is no worse, regressed or inconclusive, and is told why.
    """
    from .runs import diff_runs

    diff_runs(store, a, b, margin, json)


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="an id, how one begins, or `latest`")] = "latest",
    against: Annotated[
        str | None, typer.Option("--against", metavar="RUN", help="the run to compare with")
    ] = None,
    path: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="ends in .html, .xml (JUnit) or .md; - for Markdown on stdout"
        ),
    ] = Path("report.html"),
    trace_url: Annotated[
        str,
        typer.Option(
            envvar="ASSAY_TRACE_URL", help="where traces are shown, with {trace_id} in it"
        ),
    ] = "",
    margin: MarginOption = 0.05,
    store: StoreOption = ".assay/runs.db",
) -> None:
    """Write a run as one HTML page, as JUnit XML, or as Markdown."""
    from .report import write_report

    write_report(store, run, against, path, margin, trace_url)


@app.command()
def accept(
    agent: Annotated[str, typer.Argument(help="whose scorecard is written")],
    run: Annotated[str, typer.Option("--run", help="a run's id, or `latest`")] = "latest",
    store: StoreOption = ".assay/runs.db",
) -> None:
    """Accept a run as the scorecard that `eval --gate` compares with."""
    from .runs import accept_run

    accept_run(store, run, agent)


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=0, help="how many of the newest runs stay")],
    store: StoreOption = ".assay/runs.db",
) -> None:
    """Delete old runs from the store."""
    from .runs import prune_runs

    prune_runs(store, keep)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="CSV or JSON Lines, .gz too; a row per trial")],
    case: Annotated[str, typer.Option("--case", help="column of the case's name")],
    trial: Annotated[
        str | None, typer.Option("--trial", help="column that tells trials of a case apart")
    ] = None,
    value: Annotated[
        str | None, typer.Option("--value", help="column of numbers, true/false or pass/fail")
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="column of what cases have in common")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", help="column of outputs; needs --suite")
    ] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", help="whose checks judge the outputs")
    ] = None,
    json: JsonFileOption = None,
) -> None:
    """Score results that exist already; no model is called."""
    from .score import score_file

    score_file(
        file,
        case=case,
        trial=trial,
        value=value,
        group=group,
        output=output,
        suite=suite,
        json=json,
    )


app.command()(route)

app.command()(label)

app.command()(mcp)

app.command()(tools)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="a Python identifier, such as summary")],
    folder: Annotated[Path, typer.Option("--into", help="where to write it")] = Path(),
) -> None:
    """Write a new agent with its baseline, suite, dataset and test."""
    from .new import write_agent

    write_agent(name, folder)


def main() -> None:
    """Run the command line: one clear message per error, and an exit code that says whose it is."""
    try:  # --debug may stand anywhere, for whoever adds it to a line that failed
        app([argument for argument in sys.argv[1:] if argument != "--debug"])
    except Exception as e:
        from .door import explain

        sys.exit(explain(e))
