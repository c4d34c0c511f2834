"""What another run, or another model, made of the same case: for checks that compare outputs."""

from asyncio import Lock, to_thread
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_ai.usage import RunUsage

from ..deps.errors import ConfigError
from ..deps.models import Models
from .cases import Unit
from .outcome import Unscored
from .store.database import RunStore, UnknownRun
from .suite import Suite, Trial

__all__ = ("CasePeers", "StoredOutputs")

Outputs = Mapping[tuple[str, int], Any]


@dataclass
class StoredOutputs:
    """The outputs of stored runs of one suite, each run read once."""

    store: RunStore | None
    suite: str
    _read: dict[str, Outputs | None] = field(default_factory=dict[str, Outputs | None])
    _reading: Lock = field(default_factory=Lock)

    async def of(self, run: str) -> Outputs | None:
        """Return a run's outputs by case and trial; None if there is no such run."""
        async with self._reading:
            if run not in self._read:
                self._read[run] = await to_thread(self._outputs, run)
        return self._read[run]

    def _outputs(self, name: str) -> Outputs | None:
        if self.store is None:
            return None
        try:
            found = self.store.run(name)
        except UnknownRun:
            return None
        results = (record.result for record in self.store.results(found.id, self.suite))
        return {(one.key, one.trial): one.output for one in results if one.failure is None}


@dataclass(frozen=True, kw_only=True)
class CasePeers:
    """The outputs of others for one case; see `suite.Peers`."""

    suite: Suite[Any, Any]
    unit: Unit
    models: Models
    stored: StoredOutputs

    async def output(self, against: str, usage: RunUsage) -> Any:
        """Return what a stored run has, else what the model of that name makes of the case."""
        outputs = await self.stored.of(against)
        if outputs is None:
            return await self._made_by(against, usage)
        key, trial_number = self.unit.key, self.unit.trial
        for place in ((key, trial_number), (key, 0)):
            if place in outputs:
                return outputs[place]
        raise Unscored(f"run {against} has no output for this case")

    async def _made_by(self, model: str, usage: RunUsage) -> Any:
        trial = Trial(models=replace(self.models.using(model), trail=None), usage=usage)
        try:
            return await self.suite.task(self.unit.case.inputs, trial)
        except ConfigError:
            raise  # its name or key is wrong: say it once
        except Exception as e:  # its crash is no fault of the output that is judged
            raise Unscored(f"{model} has no output for this case: {type(e).__name__}: {e}") from e
