"""An agent that takes two turns, and its cases: read by tests, and by processes that they kill."""

from pydantic_ai import Agent
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import EqualsExpected

from assay.deps.batches import Pace
from assay.evals.checks import MaxSeconds
from assay.evals.suite import Suite, Trial

FAST = Pace(settle=0.05, first=0.005, longest=0.01, failures=4)


async def task(text: str, trial: Trial) -> str:
    agent = Agent(trial.models.resolve("large"), name="asker")

    @agent.tool_plain
    def look(word: str) -> str:
        return f"seen {word}"

    return (await agent.run(text, usage=trial.usage)).output


def suite(cases: int) -> Suite[str, str]:
    numbered = [Case(name=f"c{n}", inputs=f"t{n}", expected_output=f"t{n}") for n in range(cases)]
    data = Dataset[str, str, None](name="s", cases=numbered, evaluators=[EqualsExpected()])
    return Suite(name="s", task=task, data=data, checks=(MaxSeconds(30),))
