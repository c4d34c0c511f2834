"""The command line. This module holds only the words; the work is imported by each command."""

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ("app", "main")

app = typer.Typer(
    name="assay",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: rich would double the time of --help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Typed AI agents that come with their proof.",
    epilog="Exit codes: 0 pass, 1 a threshold was missed or there is no answer, "
    "2 wrong usage or configuration, 3 a provider failed. "
    "Settings: ASSAY_MODEL, ASSAY_SMALL_MODEL, ASSAY_JUDGE_MODEL, ASSAY_BASE_URL, ASSAY_API_KEY, "
    "from the environment or .env.",
)

ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="baseline, openai:gpt-5, ... (default: ASSAY_MODEL)"),
]
TraceOption = Annotated[
    str | None,
    typer.Option(
        "--trace",
        help="console, logfire, or a file for one JSON line per span; "
        "nothing leaves the machine without a Logfire token",
    ),
]


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
    """List the agents: what each does, its cases, and its baseline's score."""
    from .agents import list_agents

    list_agents(score, json)


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
) -> None:
    """Run one agent on a text, on files, or on standard input."""
    from .door import start
    from .run import Options, run_agent

    options = Options(labels=labels, target=target, guide=guide, out=out)
    run_agent(agent, text or [], file or [], start(model, trace), json, options)


@app.command("eval")
def eval_(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[AGENT]...", help="default: every agent")
    ] = None,
    model: ModelOption = None,
    trace: TraceOption = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="executions per case")] = 1,
    max_concurrency: Annotated[
        int, typer.Option("--max-concurrency", min=1, help="trials under way at once")
    ] = 10,
    json: Annotated[
        Path | None, typer.Option("--json", help="write everything to a file; - for stdout")
    ] = None,
) -> None:
    """Evaluate agents on their datasets, with every check."""
    from .door import start
    from .eval import evaluate_agents

    evaluate_agents(names or [], start(model, trace), trials, max_concurrency, json)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="a Python identifier, such as summary")],
    folder: Annotated[Path, typer.Option("--into", help="where to write it")] = Path(),
) -> None:
    """Write a new agent with its baseline, suite, dataset and test, all passing."""
    from .new import write_agent

    write_agent(name, folder)


def main() -> None:
    """Run the command line: one clear message per error, and an exit code that says whose it is."""
    try:  # --debug may stand anywhere, for whoever adds it to a line that failed
        app([argument for argument in sys.argv[1:] if argument != "--debug"])
    except Exception as e:
        from .door import explain

        sys.exit(explain(e))
