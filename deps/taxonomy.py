"""The labels that messages are sorted into."""

from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import BadDataset

__all__ = ("Label", "Taxonomy")


class Label(BaseModel):
    """One label: its name, what belongs under it, and messages that do."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(min_length=1)
    description: str = ""
    examples: tuple[str, ...] = ()


class Taxonomy(BaseModel):
    """A set of labels with distinct names."""

    model_config = ConfigDict(frozen=True)

    labels: tuple[Label, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"labels {twice} occur more than once; give each label one name")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    @cached_property
    def digest(self) -> str:
        """A key for what is built from the labels: equal taxonomies have equal digests."""
        return sha256(self.model_dump_json().encode()).hexdigest()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, as Pydantic does, but with a digest of its own."""
        copied = super().model_copy(update=update, deep=deep)
        vars(copied).pop("digest", None)
        return copied

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a YAML (or JSON) file holding `labels: [{name, description, examples}]`.

        Raises:
            BadDataset: the file is absent, unreadable or not a taxonomy.
        """
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as e:
            raise BadDataset(
                f"{str(path)!r} is not a taxonomy: {e}. It should hold "
                "'labels:', a list of name, description and examples"
            ) from e
