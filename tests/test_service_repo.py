"""A service's repository with an agent of its own: marker, fixture, store, gate and report."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from assay.evals.cli import main
from assay.evals.scorecard import Scorecard
from assay.evals.store.database import RunStore
from assay.evals.store.rows import Run

pytestmark = pytest.mark.slow

FILES = {
    "pytest.ini": """\
[pytest]
testpaths = tests
addopts = --import-mode=importlib --strict-markers
filterwarnings = error
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
""",
    "sorter/__init__.py": "",
    "sorter/agent.py": """\
from dataclasses import dataclass

from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel


@dataclass
class Words:
    of_bills: tuple[str, ...] = ("invoice", "pay")


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    prompt = str(messages[-1].parts[-1].content)
    words = (info.instructions or "").split(": ")[1].split(", ")
    label = "bill" if any(word in prompt for word in words) else "other"
    return ModelResponse(parts=[TextPart(label)])


agent = Agent(FunctionModel(answer, model_name="words"), deps_type=Words, name="sorter")


@agent.instructions
def instructions(ctx: RunContext[Words]) -> str:
    return "Answer bill for mails with one of: " + ", ".join(ctx.deps.of_bills)
""",
    "tests/test_evals.py": """\
from pathlib import Path

from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import EqualsExpected, MaxDuration
from sorter.agent import Words, agent

from assay.evals import Suite, task_of


async def shorten(text: str) -> str:
    return text[:4]


suite = Suite(
    name="sorter",
    about="tell bills from other mail",
    task=task_of(agent, Words()),
    path=Path(__file__).with_name("cases.yaml"),
    types=(str, str),
    checks=(EqualsExpected(),),
)
short = Suite.of(
    Dataset(
        name="short",
        cases=[Case(name="long", inputs="mailbox", expected_output="mail")],
        evaluators=[EqualsExpected(), MaxDuration(seconds=60)],
    ),
    shorten,
)
""",
    "tests/test_agent.py": """\
import sys
from dataclasses import replace

import pytest
from sorter.agent import Words, agent

from assay.deps import Models
from assay.evals import plain
from assay.evals.plugin import Evaluate


async def test_a_bill_is_told():
    assert (await agent.run("please pay", deps=Words())).output == "bill"


@pytest.mark.eval
async def test_a_constant_answer_is_not_good_enough(assay_evaluate: Evaluate, assay_models: Models):
    from .test_evals import suite

    async def constant(text: str) -> str:
        return "other"

    whole = await assay_evaluate(suite, models=assay_models, trials=2)
    assert whole.ok
    assert whole.totals.trials == 2 * whole.totals.cases
    assert not (await assay_evaluate(replace(suite, task=plain(constant)))).ok


@pytest.mark.eval
def test_nothing_of_the_toolkits_own_agents_is_loaded():
    owned = ("assay.agents", "assay.evals.suites.", "assay.tools", "sklearn")
    assert not [name for name in sys.modules if name.startswith(owned)]
""",
    "tests/__init__.py": "",
}

MAILS = [
    *((f"please pay order {i}", "bill") for i in range(15)),
    *((f"your invoice {i}", "bill") for i in range(15)),
    *((f"see you at {i}", "other") for i in range(10)),
]
CASES = "cases:\n" + "".join(
    f"- {{name: mail-{i}, inputs: {text}, expected_output: {label}}}\n"
    for i, (text, label) in enumerate(MAILS)
)


@dataclass(frozen=True)
class Service:
    """The repository, and what its commands said, in the order in which they were given."""

    folder: Path
    plain: subprocess.CompletedProcess[str]
    evaluated: subprocess.CompletedProcess[str]
    accepted: subprocess.CompletedProcess[str]
    same: subprocess.CompletedProcess[str]
    worse: subprocess.CompletedProcess[str]

    @property
    def store(self) -> RunStore:
        return RunStore(self.folder / ".assay/runs.db")

    @property
    def sessions(self) -> list[Run]:
        """The runs of whole sessions, oldest first."""
        runs = [one.run for one in self.store.list_runs() if "short" in one.run.suites]
        return runs[::-1]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Evaluate, accept, evaluate again, make the agent worse, evaluate again."""
    folder = tmp_path_factory.mktemp("service")
    for name, text in {**FILES, "tests/cases.yaml": CASES}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)

    def python(*command: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if "ASSAY_" not in name}
        # The project is on the path because it is the folder where python -m is called.
        environment = {name: value for name, value in kept.items() if name != "PYTHONSAFEPATH"}
        return subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def tests(*options: str) -> subprocess.CompletedProcess[str]:
        return python(
            "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:inline_snapshot", *options
        )

    def assay(*command: str) -> subprocess.CompletedProcess[str]:
        return python("-c", "from assay.evals.cli import main; main()", *command)

    plain, evaluated = tests(), tests("-m", "eval")
    session = next(line for line in evaluated.stdout.splitlines() if "assay report" in line)
    run = session.split()[1].rstrip(":")
    accepted = assay("accept", "tests/test_evals.py:suite", "--run", run)
    same = tests("-m", "eval", "--assay-gate", "-n", "2", "tests/test_evals.py")
    agent = folder / "sorter/agent.py"
    agent.write_text(agent.read_text().replace('("invoice", "pay")', '("invoice",)'))
    worse = tests("-m", "eval", "--assay-gate", "tests/test_evals.py")
    return Service(folder, plain, evaluated, accepted, same, worse)


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def test_an_ordinary_run_leaves_evaluations_out(service: Service) -> None:
    assert service.plain.returncode == 0, said(service.plain)
    assert "1 passed, 43 deselected" in service.plain.stdout


def test_an_evaluation_is_kept_as_one_run(service: Service) -> None:
    assert service.evaluated.returncode == 0, said(service.evaluated)
    assert "43 passed" in service.evaluated.stdout
    first = service.sessions[0]
    assert f"run {first.id}: assay show {first.id}" in service.evaluated.stdout
    assert (first.status, set(first.suites)) == ("done", {"sorter", "short"})
    assert len(list(service.store.results(first.id))) == len(MAILS) + 1
    assert first.identity["agents"]["sorter"]
    models = {record.result.model for record in service.store.results(first.id)}
    assert models == {"words", "shorten's own"}


def test_the_fixture_evaluates_on_the_sessions_terms(service: Service) -> None:
    own = [one for one in service.store.list_runs() if "short" not in one.run.suites]
    assert [(one.run.status, one.run.trials, one.finished) for one in own] == [
        ("done", 1, len(MAILS)),
        ("done", 2, 2 * len(MAILS)),
    ]
    assert service.evaluated.stdout.count("(by assay_evaluate)") == 2


def test_a_run_is_accepted_and_passes_its_own_gate(service: Service) -> None:
    assert service.accepted.returncode == 0, said(service.accepted)
    card = Scorecard.read(service.folder / "tests/scorecard.json")
    assert (card.suite, card.run) == ("sorter", service.sessions[0].id)
    assert service.same.returncode == 0, said(service.same)
    assert f"gate against the scorecard of {card.run} (words): pass" in service.same.stdout
    assert "no file to keep a scorecard beside, so its thresholds decide" in service.same.stdout


def test_a_worse_agent_fails_the_gate_in_a_sentence(service: Service) -> None:
    assert service.worse.returncode == 1, said(service.worse)
    assert "gate against the scorecard of" in service.worse.stdout
    assert "FAIL  EqualsExpected: regressed by -0.375" in service.worse.stdout
    first, same, worse = (run.identity["agents"]["sorter"] for run in service.sessions)
    assert first == same != worse
    assert len({run.identity["datasets"]["sorter"] for run in service.sessions}) == 1


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("report.html", ["<!doctype html>", "please pay order 3", "EqualsExpected"]),
        ("report.xml", ["<testsuites", 'name="mail-3"', "<failure"]),
        ("report.md", ["sorter", "EqualsExpected", "|"]),
    ],
)
def test_a_report_is_written(
    service: Service, file: str, shown: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = str(service.folder / ".assay/runs.db")
    path = tmp_path / file
    command = ["assay", "report", "latest", "-o", str(path), "--store", store]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    text = path.read_text(encoding="utf-8")
    assert not [one for one in shown if one not in text]
