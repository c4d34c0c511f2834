"""Find what a copy editor would mark in a text, each issue at its exact place."""

import asyncio
from dataclasses import dataclass, field, replace

from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, RunContext, ToolOutput
from pydantic_ai.models import Model

from ..deps.base import BaseDeps
from ..deps.baseline import BaselineModel
from ..deps.fence import FENCE_RULE, fence, unfence
from ..deps.issues import Issue
from ..deps.loop_guard import LoopGuard
from ..deps.models import by_name
from ..deps.style import MemoryStyle, StyleGuide
from ..tools.findings import Findings, misplaced, moved, placed
from ..tools.prose import Lines, Section, Survey, numbered, split, survey, unnumbered
from ..tools.style import style_rule
from ..tools.together import together

__all__ = ("INSTRUCTIONS", "Deps", "Issue", "Review", "agent", "run")

DOCUMENT = "document"  # the name of the fence


@dataclass(frozen=True, kw_only=True)
class Deps(BaseDeps):
    """What copy editing needs: the author's rules, and how to cut long texts.

    Args:
        style: The author's style guide.
        section_tokens: The longest section that is edited in one request, in estimated tokens.
        max_concurrency: How many sections are edited at once.
        slots: The same one bounds several runs together, in the place of `max_concurrency`.
        survey: Names and words of the whole book, when the text is a part of it; else the text's.
    """

    style: StyleGuide = field(default_factory=MemoryStyle)
    section_tokens: int = 2000
    max_concurrency: int = 4
    slots: asyncio.Semaphore | None = None
    survey: Survey | None = None


class Review(BaseModel):
    """The issues of a text, in reading order."""

    issues: list[Issue]


INSTRUCTIONS = f"""\
You are a copy editor. Mark what is wrong in the document, and nothing else: correct the text, \
keep the author's voice. A clean text has no issues, and a false alarm costs an author's trust.

Categories:
- mechanical: spelling, doubled words, punctuation, spacing, capitals, brackets.
- grammar: agreement, tense, pronouns, articles, a wrong word that sounds alike (its, it's).
- consistency: one thing in two ways: a name's spelling, hyphens, British and American forms, \
facts of the story. Mark the rarer form, not the usual one.
- style: against the author's style guide, or so long or tangled that it must be read twice. \
Taste is no issue.

Severity: critical changes or hides the meaning; high is an error every reader sees; medium is one \
that a careful reader sees; low may stay.

- Dialogue, dialect, quotations and verse keep their errors; mark only slips of the narrator's.
- Code, inline code, URLs, link targets and front matter are not prose: mark nothing there.
- Foreign words and text in another language: by that language's rules, or not at all.
- British and American spelling are both right; a mixture is not.
- Lines are numbered "12| …"; the text begins after that. Copy as few words as show the error, \
exactly; a suggestion replaces just them.
- The author's rules go before your habits; look up what you are about to change with style_rule.

{FENCE_RULE}"""


def _baseline(deps: Deps) -> BaselineModel:
    from .baselines.copy_editor import solve  # its dictionaries take a moment to load

    return BaselineModel("copy_editor", lambda prompt: solve(_document(prompt), deps))


def _document(prompt: object) -> str:
    return unnumbered(unfence(DOCUMENT, prompt if isinstance(prompt, str) else ""))


def check(ctx: RunContext[Deps], findings: Findings) -> Review:
    """Find each issue in the text, or send the findings back."""
    lines = Lines(_document(ctx.prompt))
    if wrong := list(misplaced(findings, lines)):
        raise ModelRetry("\n".join([*wrong, "Correct these, or leave them out."]))
    return Review(issues=placed(findings, lines))


agent = Agent(
    "large",
    name="copy_editor",
    deps_type=Deps,
    output_type=ToolOutput(check, name="findings", description=Findings.__doc__),
    instructions=INSTRUCTIONS,
    retries={"output": 3},
    capabilities=[by_name(_baseline), LoopGuard()],
)
agent.tool(style_rule)


@agent.instructions
async def author(ctx: RunContext[Deps]) -> str:
    """Show the author's rules."""
    rules = [f"- {rule.id}: {rule.text}" for rule in await ctx.deps.style.rules()]
    return "\n".join(["The author's rules:", *rules]) if rules else ""


@agent.instructions
def names(ctx: RunContext[Deps]) -> str:
    """Show the names of the whole document, so that a second spelling is seen in any section."""
    shown = ctx.deps.survey.common() if ctx.deps.survey else ""
    return f"Names in the whole document, and how often:\n{fence('names', shown)}" if shown else ""


async def run(text: str, deps: Deps, *, model: Model | str | None = None) -> Review:
    """Review `text`, prose or Markdown, section by section.

    Args:
        text: The text; it is fenced, so it cannot give orders.
        deps: The style guide and the world.
        model: A model or its name, instead of the one `deps` stands for.
    """
    slots = deps.slots or asyncio.Semaphore(deps.max_concurrency)
    deps = replace(deps, survey=deps.survey or survey(text), slots=slots)
    parts = [part for part in split(text, deps.section_tokens) if part.text.strip()]
    found = await together(_edit(part, deps, model) for part in parts)
    lines = Lines(text)
    pairs = zip(found, parts, strict=True)
    return Review(issues=[issue for r, part in pairs for issue in moved(r, part, lines)])


async def _edit(part: Section, deps: Deps, model: Model | str | None) -> list[Issue]:
    assert deps.slots is not None
    async with deps.slots:
        result = await agent.run(
            fence(DOCUMENT, numbered(part.text)),
            deps=deps,
            model=model,
            usage=deps.usage,
            usage_limits=deps.limits,
        )
    return result.output.issues
