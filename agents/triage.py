"""Sort one message into one label of a taxonomy, or into none."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from pydantic import BaseModel, Field, TypeAdapter
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.models import Model
from typing_extensions import TypedDict  # Pydantic reads no other one before Python 3.12

from ..deps.base import BaseDeps
from ..deps.baseline import BaselineModel
from ..deps.fence import FENCE_RULE, fence, unfence
from ..deps.history import MemoryMessages, MessageStore
from ..deps.instructions import instructed_by
from ..deps.loop_guard import LoopGuard
from ..deps.models import by_name
from ..deps.streaming import OnEvent, Stream, streamed, valid
from ..deps.taxonomy import Taxonomy
from ..tools.history import similar_messages

__all__ = ("INSTRUCTIONS", "Deps", "Partial", "Triage", "agent", "run", "stream")


@dataclass(frozen=True, kw_only=True)
class Deps(BaseDeps):
    """What triage needs: the labels, and past messages if there are any."""

    taxonomy: Taxonomy
    history: MessageStore = field(default_factory=MemoryMessages)


class Triage(BaseModel):
    """Where a message belongs."""

    reason: str = Field(description="one sentence: the words in the message that decide")
    label: str | None = Field(description="a label's exact name; null when none of them fits")
    confidence: float = Field(ge=0, le=1, description="probability that the label is right")
    urgency: int = Field(
        ge=1,
        le=5,
        description="1 whenever, 2 this week, 3 today, 4 within the hour, 5 now: harm goes on",
    )

    @property
    def abstained(self) -> bool:
        """Whether none of the labels fits."""
        return self.label is None


class Partial(TypedDict, total=False):
    """The fields of a `Triage` that have been written so far."""

    reason: str
    label: str | None
    confidence: float
    urgency: int


INSTRUCTIONS = f"""\
You sort incoming messages. Choose the one label whose description fits what the sender wants \
done, not merely the words used. Answer with a null label when none fits: small talk, spam, \
another subject, or nothing readable. A wrong label costs more than none.

- Two requests in one message: the one that cannot wait, else the first.
- Any language: judge the meaning.
- Confidence is a probability: of ten messages you give 0.7, seven should be right.
- Urgency follows from harm to the sender if nobody acts, not from capitals or exclamation marks.
- Unsure between two labels: look up how similar messages were sorted.

{FENCE_RULE}"""


def _baseline(deps: Deps) -> BaselineModel:
    from .baselines.triage import solve  # scikit-learn is heavy: only when asked for

    async def answer(prompt: str) -> Triage:  # a coroutine: a plain function costs a thread hop
        return await solve(unfence("message", prompt), deps)

    return BaselineModel("triage", answer)


def labels(deps: Deps) -> str:
    """Describe the labels; equal taxonomies give equal text, so that prompts can be cached."""
    lines = ["The labels:"]
    for label in deps.taxonomy.labels:
        examples = "".join(f"\n  e.g. {example!r}" for example in label.examples[:3])
        lines.append(f"- {label.name!r}: {label.description}{examples}")
    return "\n".join(lines)


agent = Agent(
    "small",
    name="triage",
    deps_type=Deps,
    output_type=Triage,
    instructions=INSTRUCTIONS,
    capabilities=[by_name(_baseline), instructed_by(labels), LoopGuard()],
)
agent.tool(similar_messages)


@agent.output_validator
def check_label(ctx: RunContext[Deps], output: Triage) -> Triage:
    """Send a label back that is not in the taxonomy."""
    names = ctx.deps.taxonomy.names
    if output.label is not None and output.label not in names:
        raise ModelRetry(
            f"{output.label!r} is not a label. Use one of {list(names)} exactly, or null."
        )
    return output


async def run(message: str, deps: Deps, *, model: Model | str | None = None) -> Triage:
    """Sort `message` by the taxonomy in `deps`.

    Args:
        message: The text as it came in; it is fenced, so it cannot give orders.
        deps: The labels and the world.
        model: A model or its name, instead of the one `deps` stands for.
    """
    result = await agent.run(
        fence("message", message),
        deps=deps,
        model=model,
        usage=deps.usage,
        usage_limits=deps.limits,
    )
    return result.output


def stream(
    message: str, deps: Deps, *, model: Model | str | None = None, on_event: OnEvent | None = None
) -> AbstractAsyncContextManager[Stream[Partial, Triage]]:
    """Sort `message` as `run` does, and give the answer as it is written, its reason first.

    Iterate for partial answers, `await output()` for the whole one; `on_event` is told the rest.
    """
    names = (None, *deps.taxonomy.names)
    read = valid(TypeAdapter(Partial), lambda partial: partial.get("label") in names)
    prompt = fence("message", message)
    return streamed(agent, prompt, deps, read, model=model, on_event=on_event)
