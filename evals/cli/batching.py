"""`assay eval --batch`: where batches are remembered, and what is said of them."""

from pathlib import Path

import sqlalchemy as sa

from ...deps.batches import Batches
from ...deps.errors import ConfigError
from ...deps.spending.budget import Budget
from ..experiment import Conditions
from .door import err

__all__ = ("open_batches", "say_what_goes_on")

FOLDER = Path(".assay")


def open_batches(store: str, under_way: int | None, conditions: Conditions) -> Batches:
    """Return what asks in batches, and remembers them beside the store.

    Args:
        store: Where runs are kept.
        under_way: How many trials wait at once, if that was said.
        conditions: Of the run.

    Raises:
        ConfigError: responses are to be recorded; nothing can be kept beside the store.
    """
    if conditions.replay in ("auto", "refresh"):
        raise ConfigError(
            f"--replay {conditions.replay} notes how long each answer took, which a batch does not "
            "tell; leave one of --batch and --replay away"
        )
    if under_way is None and (conditions.budget != Budget() or conditions.until_decided):
        err().print(
            "--batch asks everything at once: a budget, or --until-decided, is looked at when the "
            "first answers are there; --max-concurrency N has N trials under way at once",
            markup=False,
            soft_wrap=True,
        )
    path = _folder(store) / "batches.db"
    return Batches(path) if under_way is None else Batches(path, under_way=under_way)


def say_what_goes_on(batches: Batches | None) -> None:
    """Tell of batches that go on at their provider when this process ends."""
    if batches is not None and batches.left:
        err().print(
            f"{len(batches.left)} batches go on at their provider, and are paid; going on with the "
            "run collects them",
            markup=False,
            soft_wrap=True,
        )


def _folder(store: str) -> Path:
    if "://" not in store:
        return Path(store).parent
    database = sa.make_url(store).database
    return Path(database).parent if store.startswith("sqlite") and database else FOLDER
