"""Rubric: a judge's word as an evaluator, the baseline judge's where there is no other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import EvaluationReason, EvaluatorContext
from pydantic_evals.otel import SpanTreeRecordingError

from assay.deps import BASELINE, ConfigError, Models, ProviderError, unfence
from assay.evals.engine import evaluate
from assay.evals.judges.rubric import Rubric
from assay.evals.outcome import Outcome, Unscored
from assay.evals.suite import TRIAL, Suite, Trial

POLITE = {"id": "polite", "text": "The reply is polite."}


@dataclass
class Judge:
    """Gives these verdicts, by criterion; raises `error` if there is one. Keeps its prompts."""

    verdicts: dict[str, str]
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.prompts: list[str] = []

    def models(self, model: Model | None = None) -> Models:
        """Return models among which the judge is this one, and the agents' is the baseline."""
        model = model or FunctionModel(self.answer)
        return Models(default=BASELINE, roles={"judge": "test"}, wrap=(lambda _: model,))

    def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        assert isinstance(messages[0], ModelRequest)
        self.prompts.append(str(vars(messages[0].parts[0])["content"]))
        if self.error is not None:
            raise self.error
        marks = [{"id": id, "reason": f"{id}!", "verdict": v} for id, v in self.verdicts.items()]
        call = ToolCallPart(info.output_tools[0].name, {"marks": marks})
        return ModelResponse(parts=[call], usage=RequestUsage(input_tokens=10, output_tokens=5))


def context(output: object, models: Models | None) -> EvaluatorContext[Any, Any, Any]:
    trial = {} if models is None else {TRIAL: Trial(models=models)}
    return EvaluatorContext(
        name="case",
        inputs={"question": "Wo ist Müllers Paket?"},
        metadata=None,
        expected_output=None,
        output=output,
        duration=0.1,
        _span_tree=SpanTreeRecordingError("none"),
        attributes=trial,
        metrics={"requests": 1},
    )


async def test_each_criterion_has_its_result() -> None:
    judge = Judge({"polite": "pass", "it-answers-the-question": "fail"})
    ctx = context("Hello", judge.models())
    found = await Rubric([POLITE, "It answers the question."]).evaluate(ctx)
    assert found == {
        "rubric/polite": EvaluationReason(True, "polite!"),
        "rubric/it-answers-the-question": EvaluationReason(False, "it-answers-the-question!"),
    }


async def test_a_criterion_that_the_judge_cannot_say_is_neither_pass_nor_fail() -> None:
    judge = Judge({"polite": "cannot_say"})
    found = await Rubric([POLITE], name="tone").evaluate(context("Hello", judge.models()))
    assert found == {"tone/polite": EvaluationReason("cannot_say", "polite!")}


class Reply(BaseModel):
    text: str
    to: Path | None = None


@pytest.mark.parametrize(
    ("output", "seen"),
    [
        ("Schöne Grüße", "Schöne Grüße"),
        (Reply(text="Hi"), '{\n  "text": "Hi",\n  "to": null\n}'),
        (None, "null"),
    ],
)
async def test_the_judge_sees_texts_as_they_are_and_all_else_as_json(
    output: object, seen: str
) -> None:
    judge = Judge({"polite": "pass"})
    await Rubric([POLITE]).evaluate(context(output, judge.models()))
    assert unfence("candidate", judge.prompts[0]) == seen
    assert unfence("inputs", judge.prompts[0]) == '{\n  "question": "Wo ist Müllers Paket?"\n}'


async def test_the_judges_usage_is_kept_apart() -> None:
    judge = Judge({"polite": "pass"})
    ctx = context("Hello", judge.models())
    await Rubric([POLITE]).evaluate(ctx)
    await Rubric([POLITE], name="again").evaluate(ctx)
    assert ctx.metrics == {"requests": 1, "judge_requests": 2}
    assert ctx.attributes[TRIAL].usage.requests == 0


async def test_a_judges_known_price_is_told() -> None:
    judge = Judge({"polite": "pass"})
    ctx = context("Hello", judge.models(_priced(judge)))
    await Rubric([POLITE]).evaluate(ctx)
    assert ctx.metrics["judge_cost"] > 0


def _priced(judge: Judge) -> FunctionModel:
    class OpenAI(FunctionModel):
        @property
        def system(self) -> str:
            return "openai"

    return OpenAI(judge.answer, model_name="gpt-4o")


@pytest.mark.parametrize(
    "models", [None, Models(), Models(default="test", roles={"judge": BASELINE})]
)
async def test_without_an_llm_the_baseline_judge_decides(models: Models | None) -> None:
    rubric, ctx = Rubric([POLITE]), context("Hello", models)
    found = await rubric.evaluate(ctx)
    assert isinstance(found, dict)
    reason = found["rubric/polite"]
    assert isinstance(reason, EvaluationReason)
    assert (reason.reason or "").startswith("Baseline judge, by counting")
    assert str(rubric.identity(models or Models())).startswith("rubric@baseline judge#")
    assert (ctx.metrics["judge_requests"], ctx.metrics["judge_cost"]) == (1, 0)


@pytest.mark.parametrize(
    "error",
    [
        ModelAPIError("m", "connection refused"),
        ModelHTTPError(500, "m"),
        ProviderError("gone"),
        ExceptionGroup("all fell", [ModelHTTPError(503, "m")]),
    ],
)
async def test_a_dead_provider_leaves_it_unscored(error: Exception) -> None:
    ctx = context("Hello", Judge({}, error).models())
    with pytest.raises(Unscored, match="the judge did not answer"):
        await Rubric([POLITE]).evaluate(ctx)
    assert ctx.metrics["judge_requests"] == 0


async def test_a_judge_that_answers_something_else_leaves_it_unscored() -> None:
    ctx = context("Hello", Judge({"rude": "pass"}).models())
    with pytest.raises(Unscored, match="the judge did not answer"):
        await Rubric([POLITE]).evaluate(ctx)
    assert ctx.metrics["judge_requests"] == 3  # what it cost is told all the same


async def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        await Rubric([POLITE]).evaluate(context("Hello", Judge({}, ZeroDivisionError()).models()))


async def test_a_wrong_model_name_is_told() -> None:
    with pytest.raises(ConfigError, match="no-such-model"):
        await Rubric([POLITE], model="no-such-model").evaluate(context("Hello", None))


@pytest.mark.parametrize(
    "criteria", [[], ["Same.", "same"], [{"id": "a"}], [{"id": "", "text": "x"}], ["?!"]]
)
def test_wrong_criteria_are_told_when_read(criteria: list[Any]) -> None:
    with pytest.raises(ConfigError, match="criteria"):
        Rubric(criteria)


def test_a_sentences_id_is_short() -> None:
    text = "The reply tells the customer, in plain words, what will happen next and when."
    assert [c.id for c in Rubric([text]).parsed()] == ["the-reply-tells-the-customer-in-plain"]


YAML = """\
name: replies
cases:
- name: plain
  inputs: Where is my parcel?
evaluators:
- Rubric: [It answers the question.]
- Rubric:
    criteria:
    - id: polite
      text: The reply is polite.
    model: openai:gpt-5
    name: tone
"""


def test_it_can_be_written_in_yaml(tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text(YAML, encoding="utf-8")
    kind = Dataset[str, str, dict[str, Any]]
    dataset = kind.from_file(path, custom_evaluator_types=[Rubric])
    assert dataset.evaluators == [
        Rubric(["It answers the question."]),
        Rubric([POLITE], model="openai:gpt-5", name="tone"),
    ]
    dataset.to_file(tmp_path / "again.yaml", custom_evaluator_types=[Rubric])
    again = kind.from_file(tmp_path / "again.yaml", custom_evaluator_types=[Rubric])
    assert again.evaluators == dataset.evaluators


async def reply(question: str) -> str:
    return f"You asked: {question}"


async def test_in_plain_pydantic_evals_the_baseline_judge_says_what_it_is() -> None:
    dataset = Dataset[str, str, Any](
        name="replies", cases=[Case(name="c", inputs="x")], evaluators=[Rubric([POLITE])]
    )
    report = await dataset.evaluate(reply, progress=False)
    [found] = report.cases[0].assertions.values()
    assert (found.name, report.cases[0].evaluator_failures) == ("rubric/polite", [])
    assert (found.reason or "").startswith("Baseline judge, by counting")


CASES = "cases:\n- {name: c, inputs: x}\n"


def suite(folder: Path) -> Suite[str, str]:
    async def task(question: str, trial: Trial) -> str:
        return await reply(question)

    path = folder / "cases.yaml"
    path.write_text(CASES, encoding="utf-8")
    checks = (Rubric([POLITE, {"id": "short", "text": "It is short."}]),)
    return Suite(
        name="reply", about="answer", task=task, path=path, types=(str, str), checks=checks
    )


async def _outcomes(suite: Suite[str, str], models: Models) -> tuple[Outcome, ...]:
    found: list[tuple[Outcome, ...]] = []
    await evaluate(suite, models=models, on_result=lambda r: found.append(r.outcomes))
    return found[0]


async def test_in_a_suite_a_judge_decides_what_it_can(tmp_path: Path) -> None:
    judge = Judge({"polite": "pass", "short": "cannot_say"})
    outcomes = await _outcomes(suite(tmp_path), judge.models())
    assert [(o.check, o.status) for o in outcomes] == [
        ("rubric/polite", "pass"),
        ("rubric/short", "unscored"),
    ]
    assert "short!" in outcomes[1].reason


async def test_in_a_suite_without_an_llm_it_is_the_baseline_judges_and_only_advises(
    tmp_path: Path,
) -> None:
    report = await evaluate(suite(tmp_path))
    assert [check.check for check in report.checks] == ["rubric/polite", "rubric/short"]
    assert report.ok
    for check in report.checks:
        assert check.judge.startswith("rubric@baseline judge#")
        assert check.advisory.startswith("'baseline judge' was never compared with people")
