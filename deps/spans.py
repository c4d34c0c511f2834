"""Spans of what a run does beside asking models and tools: guards, retries, fallbacks, waits.

Agents, model requests and tools have spans of Pydantic AI's. Ours stand below them and say what
they are in `assay.kind`. Where nothing records, no span is made.
"""

from asyncio import CancelledError
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from time import time_ns
from typing import Literal, TypeAlias

from opentelemetry import trace

__all__ = ("KIND", "Attributes", "Kind", "guarding", "note", "recording")

Kind: TypeAlias = Literal["guard", "approval", "retry", "fallback", "wait"]

KIND = "assay.kind"

Attributes: TypeAlias = Mapping[str, str | int | float | bool | None]

_tracer = trace.get_tracer("assay")  # does nothing until a process configures a provider


def recording() -> bool:
    """Tell whether there is a span here that somebody records."""
    return trace.get_current_span().is_recording()


def note(
    kind: Kind,
    name: str,
    attributes: Attributes,
    *,
    since: int | None = None,
    error: BaseException | None = None,
) -> None:
    """Record something that has happened as a span of its own, below the one that is open.

    Its status stays unset: what was guarded, asked again or passed over is no failure of the run,
    which says so itself if it is one.

    Args:
        kind: What it is.
        name: The span's name.
        attributes: What there is to say of it; None is left out.
        since: When it began, by `time.time_ns`; else now.
        error: What it came of.
    """
    if not recording():
        return
    found = {k: v for k, v in attributes.items() if v is not None}
    if error is not None:
        found |= {"error.type": type(error).__name__, "error.message": str(error)}
    _tracer.start_span(name, attributes={KIND: kind, **found}, start_time=since).end(time_ns())


@contextmanager
def guarding(name: str) -> Generator[Callable[[str], None]]:
    """Open the span of a guard; what is given says the outcome. An error says it was no guard.

    What the guard itself asks stands below it.
    """
    with _tracer.start_as_current_span(
        f"guard {name}",
        attributes={KIND: "guard", "assay.guard": name},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        outcome = "failed"

        def said(what: str) -> None:
            nonlocal outcome
            outcome = what

        try:
            yield said
        except BaseException as e:
            span.set_attribute("error.type", type(e).__name__)
            outcome = "cancelled" if isinstance(e, CancelledError) else outcome
            raise
        finally:
            span.set_attribute("assay.guard.outcome", outcome)
