"""Recorded spans: what kind each is, the tree they make, and what a trace came to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

from ..deps.spans import KIND
from ..deps.traces.form import REMOTE

__all__ = ("Happened", "Kind", "Node", "Span", "Summary", "Trace")

Kind: TypeAlias = Literal[
    "agent", "model", "tool", "guard", "approval", "retry", "fallback", "wait", "eval", "span"
]

_OPERATIONS: Mapping[str, Kind] = {
    "invoke_agent": "agent",
    "chat": "model",
    "embeddings": "model",
    "execute_tool": "tool",
}
_OWN: Mapping[str, Kind] = {
    name: name for name in ("guard", "approval", "retry", "fallback", "wait")
}
_EVAL = ("eval ", "case ", "check ")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Happened(NamedTuple):
    """An event within a span; `at` is in nanoseconds since 1970."""

    name: str
    at: int
    attributes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Span:
    """A span that has ended.

    Attributes:
        parent: The id of the span it belongs to; None of the first.
        started: Nanoseconds since 1970.
        ended: Nanoseconds since 1970.
        status: "error", "ok", or empty.
        message: What the status says.
    """

    trace: str
    id: str
    parent: str | None
    name: str
    started: int
    ended: int
    status: str = ""
    message: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    events: tuple[Happened, ...] = ()

    @property
    def seconds(self) -> float:
        return max(0, self.ended - self.started) / 1e9

    @property
    def failed(self) -> bool:
        return self.status == "error"

    @property
    def kind(self) -> Kind:
        """What it is a span of; `span` where we do not know."""
        told = _OPERATIONS.get(self.text("gen_ai.operation.name"))
        own = _OWN.get(self.text(KIND))
        if own is None and self.name.startswith("approval "):
            own = "approval"
        return own or told or ("eval" if self.name.startswith(_EVAL) else "span")

    @property
    def title(self) -> str:
        """What it is called beside its kind."""
        if self.kind == "agent":
            return self.agent or self.name
        if self.kind == "model":
            return self.model or self.name
        return (self.text("gen_ai.tool.name") if self.kind == "tool" else "") or self.name

    @property
    def agent(self) -> str:
        return self.text("gen_ai.agent.name")

    @property
    def model(self) -> str:
        """Who was asked, or answered where that is known; empty where it is neither."""
        names = ("assay.model", "gen_ai.response.model", "gen_ai.request.model", "model_name")
        return next((found for name in names if (found := self.text(name))), "")

    @property
    def tokens(self) -> tuple[int, int]:
        """Input and output tokens of a model call."""
        return self._count("gen_ai.usage.input_tokens"), self._count("gen_ai.usage.output_tokens")

    @property
    def cost(self) -> float | None:
        """US dollars of an agent's own requests or of a model call; None where that is unknown."""
        name = "operation.cost" if self.kind == "model" else "assay.cost_usd"
        found = self.attributes.get(name)
        return float(found) if isinstance(found, (int, float)) else None

    @property
    def error(self) -> str:
        """The type of the error it ended with, or was made for; empty where there was none."""
        raised = (one.attributes.get("exception.type") for one in self.events)
        named = next((str(one) for one in raised if one), self.text("error.type"))
        return named.rpartition(".")[2] or ("error" if self.failed else "")

    def text(self, name: str) -> str:
        """Return an attribute that is a text; empty where it is not there."""
        found = self.attributes.get(name)
        return found if isinstance(found, str) else ""

    def _count(self, name: str) -> int:
        found = self.attributes.get(name)
        return found if isinstance(found, int) else 0


@dataclass
class Node:
    """A span in its tree, and the spans below it in the order in which they began."""

    span: Span
    below: list["Node"] = field(default_factory=list["Node"])

    def walk(self, depth: int = 0) -> Iterator[tuple[int, "Node"]]:
        """Yield this and all that is below, with its depth."""
        waiting = [(depth, self)]
        while waiting:
            level, node = waiting.pop()
            yield level, node
            waiting += [(level + 1, one) for one in reversed(node.below)]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a trace came to.

    Attributes:
        id: The trace's, 32 hexadecimal digits.
        when: When its first span began.
        name: The outermost agents, else the first span's name.
        models: Who answered.
        outcome: "ok", "fell back", "unfinished" (its first span never ended: under way, or the
            process was killed), or the type of the error it ended with.
        seconds: From its first span's begin to its last one's end.
        requests: Model calls.
        tokens: Input and output.
        cost: US dollars; None where the price of a request is unknown.
        errors: Spans that failed by themselves, not by one below them. A model that was passed
            over is none.
    """

    id: str
    when: datetime
    name: str
    models: tuple[str, ...]
    outcome: str
    seconds: float
    requests: int
    tokens: tuple[int, int]
    cost: float | None
    errors: int


class Trace:
    """The spans of one trace, or of the part of it below one span.

    Args:
        spans: At least one.
        part: Whether more of the trace is known to stand above them.
    """

    def __init__(self, spans: Iterable[Span], *, part: bool = False) -> None:
        self._part = part
        self.spans: Sequence[Span] = sorted(spans, key=lambda one: (one.started, -one.ended))

    @property
    def id(self) -> str:
        return self.spans[0].trace

    @property
    def begun(self) -> int:
        """Nanoseconds since 1970."""
        return self.spans[0].started

    @cached_property
    def roots(self) -> list[Node]:
        """The spans that belong to no other one that has ended."""
        nodes = {span.id: Node(span) for span in self.spans}
        found: list[Node] = []
        for node in nodes.values():
            above = nodes.get(node.span.parent or "")
            # A span below itself could only be forged; its tree would have no end.
            (found if above is None or above is node else above.below).append(node)
        return found or [Node(span) for span in self.spans]

    def below(self, id: str) -> "Trace":
        """Return a span and what is below it."""
        nodes = (node for root in self.roots for _, node in root.walk())
        top = next((node for node in nodes if node.span.id == id), None)
        found = [] if top is None else [node.span for _, node in top.walk()]
        return Trace(found or self.spans, part=True)

    @cached_property
    def summary(self) -> Summary:
        """What it came to."""
        calls = [span for span in self.spans if span.kind == "model"]
        return Summary(
            id=self.id,
            when=_EPOCH + timedelta(microseconds=self.begun // 1000),
            name=self._name(),
            models=tuple(dict.fromkeys(filter(None, (one.model for one in self._who(calls))))),
            outcome=self._outcome(),
            seconds=(max(span.ended for span in self.spans) - self.begun) / 1e9,
            requests=len(calls),
            tokens=(sum(one.tokens[0] for one in calls), sum(one.tokens[1] for one in calls)),
            cost=self._cost(),
            errors=self._errors(),
        )

    def _who(self, calls: list[Span]) -> list[Span]:
        """Return the spans that tell who answered: of the agents, where they do."""
        agents = [one for one in self.spans if one.kind == "agent" and one.text("assay.model")]
        return agents or calls

    def _name(self) -> str:
        top = [root.span for root in self.roots]
        if any(span.kind == "eval" for span in top):
            return top[0].name
        agents: dict[str, None] = {}
        waiting = [*self.roots]
        while waiting:
            node = waiting.pop(0)
            if node.span.kind == "agent":
                agents[node.span.agent] = None
            else:
                waiting += node.below
        return ", ".join(agents) or top[0].name

    def _outcome(self) -> str:
        top = [root.span for root in self.roots]
        failed = next((span for span in top if span.failed), None)
        if failed is not None:
            return failed.error
        whole = (span.parent is None or REMOTE in span.attributes for span in top)
        if not self._part and not any(whole):
            return "unfinished"
        return "fell back" if any(one.kind == "fallback" for one in self.spans) else "ok"

    def _cost(self) -> float | None:
        """Add up what agents took, and model calls whose agent does not tell."""
        total = 0.0
        for root in self.roots:
            waiting = [(root, False)]
            while waiting:
                node, told = waiting.pop()
                span = node.span
                if span.kind == "agent":
                    told = span.cost is not None
                if span.kind in ("agent", "model") and not (told and span.kind == "model"):
                    if span.kind == "model" and span.cost is None:
                        return None
                    total += span.cost or 0.0
                waiting += [(one, told) for one in node.below]
        return total

    def _errors(self) -> int:
        nodes = (node for root in self.roots for _, node in root.walk())
        return sum(_failed_itself(node) for node in nodes)


def _failed_itself(node: Node) -> bool:
    # An attempt at a model that another one answered for is told beside our span of the fallback.
    passed_over = "pydantic_ai.model_request.attempt" in node.span.attributes
    return node.span.failed and not passed_over and not any(b.span.failed for b in node.below)
