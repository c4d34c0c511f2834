"""Ask several judges, models or personas, and take the majority.

Plain code over the judge: several that err apart are worth more than one asked several times
(Verga et al., "Replacing Judges with Juries", arXiv:2404.18796).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from ...deps.errors import ConfigError
from ...deps.resilience.causes import unanswered
from ...tools.together import together
from .frame import Criterion, Deps
from .rubric import Judgement, Mark, Verdict, run

__all__ = ("Member", "Opinions", "panel")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One judge of a panel.

    Attributes:
        model: A model's name or a role.
        persona: Whose eyes it judges with.
    """

    model: str = "judge"
    persona: str = ""

    def __str__(self) -> str:
        return f"{self.model} as {self.persona}" if self.persona else self.model


@dataclass(frozen=True, kw_only=True)
class Opinions:
    """What a panel came to.

    Attributes:
        judgement: Per criterion the majority's verdict, `cannot_say` where there is none, with
            the reasons of those who gave it.
        agreement: Per criterion the share of pairs of members who gave one verdict; None where
            fewer than two answered.
        heard: Each member's own judgement.
        silent: Members that did not answer, and why; they have no vote.
    """

    judgement: Judgement
    agreement: dict[str, float | None]
    heard: dict[Member, Judgement]
    silent: dict[Member, Exception]


async def panel(
    candidate: str,
    criteria: Sequence[Criterion],
    deps: Deps,
    members: Sequence[Member],
    *,
    inputs: str | None = None,
    reference: str | None = None,
) -> Opinions:
    """Grade `candidate` by each of `criteria`, by the majority of `members`.

    The other arguments are those of `run`.

    Raises:
        ConfigError: there are no members, or one is named twice.
        Exception: none of them answered; the first one's error, with a note for each other.
    """
    if not members or len(set(members)) < len(members):
        raise ConfigError(
            f"a panel needs distinct members, at least one; got {[*map(str, members)]}"
        )

    async def ask(member: Member) -> Judgement | Exception:
        own = replace(deps, persona=member.persona or deps.persona)
        try:
            return await run(
                candidate, criteria, own, inputs=inputs, reference=reference, model=member.model
            )
        except Exception as e:
            if not unanswered(e):
                raise
            return e

    answers = dict(zip(members, await together(map(ask, members)), strict=True))
    heard = {m: answer for m, answer in answers.items() if isinstance(answer, Judgement)}
    missing = {m: answer for m, answer in answers.items() if isinstance(answer, Exception)}
    if not heard:
        raise _nobody(missing)
    return Opinions(
        judgement=Judgement(marks=tuple(_majority(c.id, heard) for c in criteria)),
        agreement={c.id: _agreement(c.id, heard) for c in criteria},
        heard=heard,
        silent=missing,
    )


def _nobody(missing: dict[Member, Exception]) -> Exception:
    first = next(iter(missing.values()))
    for member, error in list(missing.items())[1:]:
        first.add_note(f"{member} did not answer either: {type(error).__name__}: {error}")
    return first


def _majority(id: str, heard: dict[Member, Judgement]) -> Mark:
    marks = {str(member): _mark(id, judgement) for member, judgement in heard.items()}
    counts: Counter[Verdict] = Counter(mark.verdict for mark in marks.values())
    verdict, votes = counts.most_common(1)[0]
    said = "; ".join(f"{who}: {m.reason}" for who, m in marks.items() if m.verdict == verdict)
    if 2 * votes > len(marks):
        return Mark(id=id, reason=f"{votes} of {len(marks)}. {said}", verdict=verdict)
    split = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return Mark(id=id, reason=f"no majority: {split}", verdict="cannot_say")


def _agreement(id: str, heard: dict[Member, Judgement]) -> float | None:
    verdicts = [_mark(id, judgement).verdict for judgement in heard.values()]
    pairs = [a == b for a, b in combinations(verdicts, 2)]
    return sum(pairs) / len(pairs) if pairs else None


def _mark(id: str, judgement: Judgement) -> Mark:
    return next(mark for mark in judgement.marks if mark.id == id)
