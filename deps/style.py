"""An author's style guide: rules that can be looked up, some of them terms to prefer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .errors import BadDataset

__all__ = ("HasStyle", "MemoryStyle", "StyleGuide", "StyleRule")


class StyleRule(BaseModel):
    """One rule of the house.

    `prefer` maps a banned term to the one to write instead (`{"e-mail": "email"}`). Terms match
    whole words; case does not matter unless the two differ in nothing but case.
    """

    model_config = ConfigDict(frozen=True)

    id: str = Field(min_length=1)
    text: str
    prefer: Mapping[str, str] = Field(default_factory=dict[str, str])


class StyleGuide(Protocol):
    """Where an author's rules are kept."""

    async def rules(self) -> Sequence[StyleRule]:
        """Return all rules, in the author's order."""
        ...

    async def about(self, topic: str, limit: int) -> Sequence[StyleRule]:
        """Return at most `limit` rules about `topic`, the nearest first."""
        ...


class HasStyle(Protocol):
    """Deps with a style guide."""

    @property
    def style(self) -> StyleGuide: ...


_RULES = TypeAdapter(tuple[StyleRule, ...])


@dataclass(frozen=True)
class MemoryStyle:
    """A style guide in memory; nearness is the number of words that topic and rule share."""

    all: Sequence[StyleRule] = ()

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a YAML (or JSON) file holding `rules: [{id, text, prefer}]`.

        Raises:
            BadDataset: the file is absent, unreadable or not a style guide.
        """
        try:
            return cls(_RULES.validate_python(_rules(path.read_text(encoding="utf-8"))))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as e:
            raise BadDataset(
                f"{str(path)!r} is not a style guide: {e}. It should hold "
                "'rules:', a list of id, text and prefer"
            ) from e

    async def rules(self) -> Sequence[StyleRule]:
        return self.all

    async def about(self, topic: str, limit: int) -> Sequence[StyleRule]:
        wanted = _words(topic)
        scored = [(len(wanted & _words(_all_text(rule))), rule) for rule in self.all]
        return [r for n, r in sorted(scored, key=lambda s: -s[0]) if n][:limit]


def _rules(text: str) -> object:
    content: object = yaml.safe_load(text)
    return content.get("rules") if isinstance(content, dict) else content  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def _all_text(rule: StyleRule) -> str:
    return " ".join([rule.id, rule.text, *rule.prefer.keys(), *rule.prefer.values()])


def _words(text: str) -> frozenset[str]:
    return frozenset("".join(c if c.isalnum() else " " for c in text.casefold()).split())
