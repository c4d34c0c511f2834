"""The desk: every route, one budget, and a partial outcome whatever fails."""

import asyncio
import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelHTTPError, UserError
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RunUsage, UsageLimits

from assay.agents import copy_editor, desk, extract, triage
from assay.agents.desk import Handled
from assay.deps import ConfigError, Models
from assay.deps.records import Booking, ContactChange, Invoice
from assay.deps.taxonomy import Label, Taxonomy
from assay.evals.cases import Cases
from assay.evals.env import TrialEnv
from assay.evals.runner import run_trial
from assay.evals.suite import Trial
from assay.evals.suites.desk import Incoming, differences, suite

NAMES = ("invoice", "booking", "contact_change", "question", "complaint", "security")
TAXONOMY = Taxonomy(labels=tuple(Label(name=name) for name in NAMES))
AGENTS = {"final_result": "triage", "extraction": "extract", "findings": "copy_editor"}


class Parts:
    """One model for all parts: each answers what it is told to, or raises it. Keeps who asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.model = FunctionModel(self.answer)

    def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        tool = info.output_tools[0].name
        agent = AGENTS[tool]
        self.asked.append(agent)
        answer = self.answers[agent]
        if isinstance(answer, BaseException):
            raise answer
        return ModelResponse(parts=[ToolCallPart(tool, answer)])


def sorted_as(label: str | None, confidence: float = 0.9) -> dict[str, Any]:
    return {"reason": "its words", "label": label, "confidence": confidence, "urgency": 2}


def form(**fields: tuple[Any, str]) -> dict[str, Any]:
    """Return a filled form: each field with its value and the quote that proves it."""
    return {
        "value": {name: value for name, (value, _) in fields.items()},
        "quotes": [{"field": name, "quote": quote} for name, (_, quote) in fields.items()],
    }


def issue(
    text: str, suggestion: str | None, severity: str = "critical", line: int = 1
) -> dict[str, Any]:
    return {
        "line": line,
        "text": text,
        "occurrence": 1,
        "category": "mechanical",
        "severity": severity,
        "explanation": f"{text} is wrong",
        "suggestion": suggestion,
    }


def deps(**changes: Any) -> desk.Deps:
    return replace(desk.Deps(taxonomy=TAXONOMY), **changes)


async def handle(parts: Parts, message: str = "Hello", draft: str | None = None) -> Handled:
    return await desk.run(message, deps(), draft=draft, model=parts.model)


def ran(handled: Handled) -> list[tuple[str, bool]]:
    """Return each step's agent, and whether it gave an output."""
    assert all((s.output is None) != (s.error is None) for s in handled.steps)
    return [(step.agent, step.error is None) for step in handled.steps]


INVOICE = form(
    invoice_number=("A-17", "No. A-17"), date=("2026-03-02", "2 March 2026"), amount=(99, "99 EUR")
)
BOOKING = form(
    date=("2026-03-02", "2 March"), time=("19:30:00", "half past seven"), people=(4, "four of us")
)
CHANGE = form(name=("Ada King", "Ada King"), email=("ada@king.example", "ada@king.example"))


@pytest.mark.parametrize(
    ("route", "message", "filled", "record"),
    [
        (
            "invoice",
            "Invoice No. A-17 of 2 March 2026: 99 EUR",
            INVOICE,
            Invoice.model_validate(
                {"invoice_number": "A-17", "date": "2026-03-02", "amount": Decimal(99)}
            ),
        ),
        (
            "booking",
            "A table on 2 March, half past seven, four of us",
            BOOKING,
            Booking.model_validate({"date": "2026-03-02", "time": dt.time(19, 30), "people": 4}),
        ),
        (
            "contact_change",
            "I am now Ada King, ada@king.example",
            CHANGE,
            ContactChange.model_validate({"name": "Ada King", "email": "ada@king.example"}),
        ),
    ],
)
async def test_records_are_read(
    route: str, message: str, filled: dict[str, Any], record: desk.Record
) -> None:
    handled = await handle(Parts(triage=sorted_as(route), extract=filled), message)
    assert handled.route == route
    assert handled.record == record
    assert type(handled.record) is type(record)
    assert ran(handled) == [("triage", True), ("extract", True)]
    last = handled.steps[-1].output
    assert isinstance(last, extract.Extraction)
    assert type(last.value) is type(record)
    assert last.quotes
    assert Handled.model_validate_json(handled.model_dump_json()) == handled


@pytest.mark.parametrize("label", ["question", "complaint"])
async def test_questions_and_complaints_get_a_reviewed_reply(label: str) -> None:
    handled = await handle(Parts(triage=sorted_as(label), copy_editor={"issues": []}))
    assert (handled.route, handled.reply) == ("reply", desk.ACKNOWLEDGEMENTS[label])
    assert ran(handled) == [("triage", True), ("copy_editor", True)]
    assert isinstance(handled.steps[0].output, triage.Triage)
    assert isinstance(handled.steps[1].output, copy_editor.Review)


async def test_critical_issues_of_a_reply_are_corrected() -> None:
    issues = [
        issue("not", "now", line=2),
        issue("You", "Your"),
        issue("parcel", "package", severity="low"),
    ]
    parts = Parts(triage=sorted_as("question"), copy_editor={"issues": issues})
    handled = await handle(parts, draft="You parcel is\nnot here.")
    assert (handled.route, handled.reply) == ("reply", "Your parcel is\nnow here.")
    assert handled.reason == "reviewed, 2 corrected"


async def test_of_overlapping_corrections_one_is_applied() -> None:
    issues = [issue("is is not", "is"), issue("not here", "here")]
    parts = Parts(triage=sorted_as("question"), copy_editor={"issues": issues})
    handled = await handle(parts, draft="It is is not here.")
    assert handled.reply == "It is is here."


async def test_a_reply_with_a_critical_issue_and_no_cure_goes_to_a_person() -> None:
    issues = [issue("7 or 9", None)]
    parts = Parts(triage=sorted_as("question"), copy_editor={"issues": issues})
    handled = await handle(parts, draft="We close at 7 or 9.")
    assert (handled.route, handled.reply) == ("person", "We close at 7 or 9.")
    assert handled.reason == "the reply cannot be sent: 7 or 9 is wrong"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (sorted_as(None), "no label fits: its words"),
        (sorted_as("invoice", 0.49), "perhaps invoice, at 49% too unsure"),
        (sorted_as("security"), "security is for people"),
    ],
)
async def test_the_rest_goes_to_a_person(found: dict[str, Any], reason: str) -> None:
    parts = Parts(triage=found)
    handled = await handle(parts)
    assert (handled.route, handled.reason) == ("person", reason)
    assert parts.asked == ["triage"]


async def test_all_steps_add_up_in_one_usage() -> None:
    usage = RunUsage()
    parts = Parts(triage=sorted_as("question"), copy_editor={"issues": []})
    await desk.run("Hello", deps(usage=usage), model=parts.model)
    await desk.run("Again", deps(usage=usage), model=parts.model)
    assert usage.requests == len(parts.asked) == 4


async def test_the_callers_deps_are_left_alone() -> None:
    mine = deps()
    parts = Parts(triage=sorted_as("question"), copy_editor={"issues": []})
    await desk.run("Hello", mine, model=parts.model)
    assert mine.usage is None


@pytest.mark.parametrize("usage", [None, RunUsage()])
async def test_a_spent_budget_leaves_what_was_done(usage: RunUsage | None) -> None:
    parts = Parts(triage=sorted_as("invoice"), extract=INVOICE)
    tight = deps(usage=usage, limits=UsageLimits(request_limit=1))
    handled = await desk.run("Invoice", tight, model=parts.model)
    assert handled.route == "person"
    assert ran(handled) == [("triage", True), ("extract", False)]
    assert "UsageLimitExceeded" in handled.reason
    assert parts.asked == ["triage"]  # nothing was spent beyond the budget


@pytest.mark.parametrize(
    ("answers", "steps", "reason"),
    [
        (
            {"triage": ModelHTTPError(503, "m")},
            [("triage", False)],
            "could not be sorted: ModelHTTPError",
        ),
        (
            {"triage": ExceptionGroup("all", [ModelHTTPError(503, "m")])},
            [("triage", False)],
            "could not be sorted: ExceptionGroup",
        ),
        (
            {"triage": sorted_as("nonsense")},
            [("triage", False)],
            "could not be sorted: UnexpectedModelBehavior",
        ),
        (
            {"triage": sorted_as("booking"), "extract": form(people=(2, "two"))},
            [("triage", True), ("extract", False)],
            "booking, but could not be read: NotFound: required fields",
        ),
        (
            {"triage": sorted_as("question"), "copy_editor": ModelHTTPError(500, "m")},
            [("triage", True), ("copy_editor", False)],
            "the reply could not be reviewed: ModelHTTPError",
        ),
    ],
)
async def test_a_failed_step_leaves_what_was_done(
    answers: dict[str, Any], steps: list[tuple[str, bool]], reason: str
) -> None:
    handled = await handle(Parts(**answers), "A table for two")
    assert handled.route == "person"
    assert handled.record is None
    assert ran(handled) == steps
    assert handled.reason.startswith(reason)
    assert (handled.steps[-1].error or "none") in handled.reason


async def test_an_unreviewed_reply_is_kept_for_the_person() -> None:
    parts = Parts(triage=sorted_as("question"), copy_editor=ModelHTTPError(500, "m"))
    handled = await handle(parts, draft="We close at 7.")
    assert (handled.route, handled.reply) == ("person", "We close at 7.")


@pytest.mark.parametrize("bug", [ZeroDivisionError(), UserError("a wrong argument")])
async def test_a_bug_is_raised(bug: Exception) -> None:
    with pytest.raises(type(bug)):
        await handle(Parts(triage=bug))


async def test_wrong_configuration_is_raised() -> None:
    with pytest.raises(ConfigError, match="no-such-model"):
        await desk.run("Hello", deps(models=Models(default="no-such-model")))


async def test_cancellation_goes_through() -> None:
    reached = asyncio.Event()

    async def hang(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    task = asyncio.create_task(desk.run("Hello", deps(), model=FunctionModel(hang)))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_messages_handled_side_by_side_do_not_mix() -> None:
    parts = [
        Parts(triage=sorted_as(label), copy_editor={"issues": []}, extract=CHANGE)
        for label in ("question", "contact_change", "security")
    ]
    handled = await asyncio.gather(*[handle(p, "Ada King, ada@king.example") for p in parts])
    assert [h.route for h in handled] == ["reply", "contact_change", "person"]
    assert [len(h.steps) for h in handled] == [2, 2, 1]


def test_the_dataset_expects_what_can_be() -> None:
    read = {"invoice", "booking", "contact_change"}
    for case in suite.dataset().cases:
        expected = case.expected_output
        assert expected is not None
        last = expected.steps[-1]
        assert bool(expected.record) == (expected.route in read), case.name
        assert (last == "copy_editor") == (expected.route == "reply"), case.name
        assert last == "extract" or expected.route not in read, case.name
        if expected.record:
            assert set(expected.record) <= set(desk.RECORDS[expected.route].model_fields)


def test_records_are_compared_by_value() -> None:
    record = ContactChange.model_validate({"name": "Ada  KING", "valid_from": "2026-03-02"})
    assert differences(record, {"name": "ada king", "valid_from": "2026-03-02"}) == []
    assert differences(record, {"city": "York"}) == ["city: got 'None', expected 'York'"]
    bill = Invoice.model_validate({"invoice_number": "1", "date": "2026-03-02", "amount": "9"})
    assert differences(bill, {"amount": "9.00"}) == []


async def test_the_suites_checks() -> None:
    parts = Parts(triage=sorted_as("question"), copy_editor={"issues": []})
    models = Models(default="test", wrap=(lambda _: parts.model,))
    units = Cases.of(suite).units(trials=1)
    unit = next(u for u in units if u.name == "question-with-a-clean-draft")
    result = await run_trial(replace(suite, task=with_taxonomy), unit, TrialEnv(models=models))
    assert {o.check: o.status for o in result.outcomes} == {
        "route_equals": "pass",
        "reply_equals": "pass",
        "steps_run": "pass",
        "max_requests": "pass",
        "max_seconds": "pass",
    }
    assert result.requests == 2


async def with_taxonomy(incoming: Incoming, trial: Trial) -> Handled:
    world = deps(models=trial.models, usage=trial.usage)
    return await desk.run(incoming.message, world, draft=incoming.draft)
