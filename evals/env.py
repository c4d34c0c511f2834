"""What one trial runs in: its models, wrapped in whatever the run needs around them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic_ai.models import Model

from ..deps.models import Models
from ..deps.replay.cache import Cache
from ..deps.replay.recordings import Recordings
from ..deps.replay.tape import Mode, Replay, Tape
from .cases import Unit
from .identity import Observer
from .judges.counted import Once
from .latency import Stopwatch
from .peers import CasePeers, StoredOutputs
from .suite import Peers, Suite
from .transcript import Transcript

__all__ = ("RECORDINGS", "Env", "TrialEnv", "Wrap")

RECORDINGS = Path(".assay/replay")
"""Where recordings are kept when nothing else is said, from the working directory."""

Wrap = Callable[[Model], Model]


@dataclass(frozen=True, kw_only=True)
class TrialEnv:
    """What one trial runs in; afterwards it tells what passed through it."""

    models: Models
    tape: Tape | None = None
    transcript: Transcript | None = None
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    peers: Peers | None = None
    once: Wrap | None = None

    @property
    def latency(self) -> float:
        """Seconds that replayed responses took when they were recorded."""
        return 0.0 if self.tape is None else self.tape.latency

    @property
    def model_seconds(self) -> float:
        """Seconds that models took to answer, those of replayed responses as recorded."""
        return self.stopwatch.seconds + self.latency

    @property
    def replayed(self) -> bool:
        """Whether there were responses, and all of them came from a recording."""
        return self.tape is not None and self.tape.all_replayed

    @property
    def messages(self) -> Sequence[dict[str, Any]] | None:
        """The conversations as JSON data."""
        return None if self.transcript is None else self.transcript.messages


@dataclass(frozen=True, kw_only=True)
class Env:
    """Makes each trial of a suite an environment of its own.

    Args:
        suite: Whose trials.
        models: What model names mean.
        replay: Whether responses are recorded and replayed.
        folder: Where recordings are kept.
        shared: Wrappers that all trials have in common, such as a limiter and a budget's meter.
        stored: What other runs made of the same cases.
        once: What judges have said in this evaluation.
    """

    suite: Suite[Any, Any]
    models: Models
    replay: Mode = "off"
    folder: Path = RECORDINGS
    shared: tuple[Wrap, ...] = ()
    observer: Observer = field(default_factory=Observer)
    stored: StoredOutputs | None = None
    once: Once = field(default_factory=Once)

    def of(self, unit: Unit) -> TrialEnv:
        """Return the environment of one trial.

        From the provider outwards: the stopwatch, what all trials share, the tape, the transcript.
        What is replayed so takes no slot and no budget, and is in the transcript all the same. A
        service's cache is left out: it would give every trial of a case the same answer.
        """
        tape = None if self.replay == "off" else self._replays().tape(unit.name, unit.trial)
        transcript = Transcript(secrets=self.models.secrets)
        stopwatch = Stopwatch()
        own = [wrap for wrap in self.models.wrap if not isinstance(wrap, Cache)]
        around: list[Wrap] = [stopwatch, *own, *self.shared]
        around += [transcript] if tape is None else [tape, transcript]
        if unit.position == unit.trial == 0:
            around.append(self.observer)  # one trial shows what the agents ask with
        # Another model's answers, or a baseline's, would be scored as this one's.
        models = replace(self.models, wrap=tuple(around), fallback=())
        stored = self.stored or StoredOutputs(None, self.suite.name)
        return TrialEnv(
            models=models,
            tape=tape,
            transcript=transcript,
            stopwatch=stopwatch,
            peers=CasePeers(suite=self.suite, unit=unit, models=models, stored=stored),
            once=self.once if tape is None else None,  # a recording is of one trial alone
        )

    def _replays(self) -> Replay:
        path = self.suite.path
        committed = () if path is None else (Recordings(path.parent / "replay"),)
        caches = [wrap for wrap in self.models.wrap if isinstance(wrap, Cache)]
        return Replay(
            mode=self.replay,
            write=Recordings(self.folder / self.suite.name),
            read=(*committed, *caches),
            secrets=self.models.secrets,
        )
