"""Safety for agents that act, in one line: `capabilities=[by_name(_baseline), *safe()]`.

From the outermost to the innermost, which is the order of the list:

| capability | does | by the tool's metadata |
|---|---|---|
| `LoopGuard` | warns a model that goes round in circles, then stops the run | `polling` |
| `Compaction` | keeps the messages within the model's window | |
| `Sensitive` | asks before a call that a stranger may want | `sensitive`, `trusted`, `foreign` |
| `Masking` | masks keys and personal data in outputs and in what is sent | `sends`, `trusted` |
| `Untrusted` | fences what tools return; detectors flag it | `trusted` |

A result is fenced before anything else sees it, and a call is judged by the arguments that the
model gave, before anything masks them. A capability that reshapes results, such as a limit on
their length, belongs behind these in the list, where it sees them bare.

What a tool is stands where it is attached: `agent.tool(metadata={"sensitive": True})(refund)`.
Unmarked it is not sensitive, sends nothing, what it returns is anybody's words, and what it is
described with is the operator's.
"""

from typing import Any

from pydantic_ai.capabilities import AbstractCapability

from ..loop_guard import LoopGuard
from .compaction import Compaction
from .masking import Masking
from .sensitive import Sensitive
from .untrusted import Detector, Finding, Untrusted, quarantined

__all__ = (
    "Compaction",
    "Detector",
    "Finding",
    "LoopGuard",
    "Masking",
    "Sensitive",
    "Untrusted",
    "quarantined",
    "safe",
)

_LOOPS = LoopGuard()
_COMPACTION = Compaction()
_SENSITIVE = Sensitive()
_MASKING = Masking()
_UNTRUSTED = Untrusted()


def safe(
    *,
    loops: LoopGuard | None = _LOOPS,
    untrusted: Untrusted | None = _UNTRUSTED,
    sensitive: Sensitive | None = _SENSITIVE,
    masking: Masking | None = _MASKING,
    compaction: Compaction | None = _COMPACTION,
) -> list[AbstractCapability[Any]]:
    """Return the capabilities of a safe agent, outermost first.

    Each may be given with settings of its own, or as None to leave it out.
    """
    chosen = (loops, compaction, sensitive, masking, untrusted)
    return [one for one in chosen if one is not None]
