"""Judge what somebody wrote: by a rubric, by scores, against another text, or by its sources.

| call | asks | gives |
|---|---|---|
| `run(candidate, criteria, deps)` | is each criterion met? | a verdict and a reason for each |
| `score(candidate, criteria, deps)` | how well, from 1 to 5? | a score and a reason for each |
| `prefer(a, b, criteria, deps)` | which is better? | a, b, or a tie: asked in both orders |
| `ground(candidate, sources, deps)` | is each claim in the sources? | the claims, with quotes |
| `panel(candidate, criteria, deps, members)` | as `run`, of several | the majority |

`run` and `score` take a `reference`, an answer known to be right, beside the inputs. All texts are
fenced: a candidate can neither close its frame nor give orders. Whether a judge may be believed is
measured, not assumed: see `assay judge calibrate`.
"""

from .frame import Deps
from .grounded import Claim, Grounding, ground
from .pairwise import Preference, Preferred, prefer
from .panel import Member, Opinions, panel
from .rubric import INSTRUCTIONS, Criterion, Judgement, Mark, agent, run
from .scores import Grade, Grades, score

__all__ = (
    "INSTRUCTIONS",
    "Claim",
    "Criterion",
    "Deps",
    "Grade",
    "Grades",
    "Grounding",
    "Judgement",
    "Mark",
    "Member",
    "Opinions",
    "Preference",
    "Preferred",
    "agent",
    "ground",
    "panel",
    "prefer",
    "run",
    "score",
)
