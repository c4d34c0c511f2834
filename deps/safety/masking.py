"""Take keys and personal data out of what leaves: outputs, and what tools send.

- `keys`: the keys that the run's own deps know (`models.secrets`), found by their letters: spaced
  out, in other forms of the same letters, reversed, in base64, in hex, or encoded for an address.
- `secrets`: what looks like a key of a known service or a private key (`deps.secrets`, the
  harness's detectors), also in base64.
- `personal`: `email`, `credit_card`, `iban`, `us_ssn`, `phone`, by their form, and by their check
  digits where they have any.

Masked are outputs, and the arguments of tools attached with `metadata={"sends": True}`. Only texts
change: a model stays one of its class, a list a list, and what holds no match stays the very same
object. Outputs are masked after they were validated and are not validated again.

What the user himself wrote is no leak to him, so as personal data it stays in outputs. So does, in
what tools send, what the user or the operator said, trusted tools' results included, and whatever
stands in a call that a person has approved. With `own="mask"` all of it is masked. Keys and secrets
always are.

A guard against mistakes and against what copies; a model can word a secret in ways that no form
gives away. What it must not tell, do not show it. Nor are these masked: the messages of the run,
which are its memory; `stream_text`, which yields what the model says as it says it (`stream_output`
is masked); requests for approval, which a person must see as they are. `mask` is there for those.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import quote

from pydantic import BaseModel, SecretStr
from pydantic_ai import DeferredToolRequests, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.output import OutputContext
from pydantic_ai.tools import ToolDefinition

from ..models import Models
from ..secrets import HIDDEN, SHORTEST, scrub
from .provenance import told
from .tracing import ENCODED, Said, unbased

__all__ = ("PERSONAL", "Kind", "Masking", "mask", "masked")

Kind: TypeAlias = Literal["email", "credit_card", "iban", "us_ssn", "phone"]

PERSONAL: tuple[Kind, ...] = ("iban", "credit_card", "us_ssn", "email", "phone")
"""The kinds of personal data, in the order in which they are looked for."""

_PHONE = re.compile(
    r"(?<![\w+])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){6,11}"
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}[.-]\d{3}[.-]\d{4})(?!\w)"
)


@dataclass
class Masking(AbstractCapability[Any]):
    """Masks keys, secrets and personal data in outputs and in what tools send.

    Args:
        keys: Whether the keys of the run's deps are masked.
        secrets: Whether what looks like a key is.
        personal: The kinds of personal data that are; none for agents whose work they are.
        own: Whether personal data stays that the user wrote, or, in what is sent, anybody trusted.
        words: Fences in the prompt that hold the user's own words, such as `message`.
    """

    keys: bool = True
    secrets: bool = True
    personal: Collection[Kind] = PERSONAL
    own: Literal["keep", "mask"] = "keep"
    words: Collection[str] = ()
    # Of one run: see `for_run`.
    _trusted: frozenset[str] = field(default=frozenset(), init=False, repr=False)

    async def for_run(self, ctx: RunContext[Any]) -> Masking:
        return copy(self)

    async def prepare_tools(
        self, ctx: RunContext[Any], tool_defs: list[ToolDefinition]
    ) -> list[ToolDefinition]:
        trusted = (one.name for one in tool_defs if (one.metadata or {}).get("trusted"))
        self._trusted = self._trusted.union(trusted)
        return tool_defs

    async def before_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
    ) -> dict[str, Any]:
        if not (tool_def.metadata or {}).get("sends"):
            return args
        read = told(ctx.messages, trusted=self._trusted, words=self.words)
        personal = () if ctx.tool_call_approved and self.own == "keep" else self.personal
        out: dict[str, Any] = masked(args, self._mask(ctx.deps, personal, read.trusted), keys=False)
        return out

    async def after_output_process(
        self, ctx: RunContext[Any], *, output_context: OutputContext, output: Any
    ) -> Any:
        if isinstance(output, DeferredToolRequests):
            return output
        read = told(ctx.messages, words=self.words)
        return masked(output, self._mask(ctx.deps, self.personal, read.own))

    def _mask(
        self, deps: object, personal: Collection[Kind], own: Iterable[str]
    ) -> Callable[[str], str]:
        return partial(
            mask,
            keys=_keys(deps) if self.keys else (),
            secrets=self.secrets,
            personal=personal,
            keep=Said(own) if self.own == "keep" else None,
        )


def _keys(deps: object) -> tuple[str, ...]:
    """Return the keys that deps with models know."""
    models = getattr(deps, "models", None)
    keys: tuple[SecretStr, ...] = models.secrets if isinstance(models, Models) else ()
    return tuple(key.get_secret_value() for key in keys)


def mask(
    text: str,
    *,
    keys: Collection[str] = (),
    secrets: bool = True,
    personal: Collection[Kind] = PERSONAL,
    keep: Said | None = None,
) -> str:
    """Return a text without keys, secrets and personal data. A masked text stays as it is.

    Args:
        text: The text.
        keys: Known keys; one of fewer than eight characters is a word, and stays.
        secrets: Whether what looks like a key is masked.
        personal: The kinds of personal data that are.
        keep: Personal data that stays.
    """
    kinds = [kind for kind in PERSONAL if kind in personal]
    while True:  # what is taken out may bring together what stood apart
        found = _without_keys(text, keys)
        found = _without_secrets(found) if secrets else found
        for kind in kinds:
            found = _without_personal(found, kind, keep)
        if found == text:
            return text
        text = found


def _without_secrets(text: str) -> str:
    def hidden(match: re.Match[str]) -> str:
        said = unbased(match[0])
        return HIDDEN if said and said != _without_secrets(said) else match[0]

    return ENCODED.sub(hidden, _known_forms()(scrub(text)))


@lru_cache(maxsize=1)
def _known_forms() -> Callable[[str], str]:
    """Return what masks the keys that the harness knows by their form, and private keys."""
    from pydantic_ai_harness.guardrails.detectors import secret_data

    detect = secret_data(placeholder=HIDDEN)

    def change(text: str) -> str:
        result = detect(text)
        return str(result.replacement) if result.action == "replace" else text

    return change


def _without_personal(text: str, kind: str, keep: Said | None) -> str:
    pattern, proves = _personal(kind)

    def hidden(match: re.Match[str]) -> str:
        stays = not proves(match[0]) or (keep is not None and match[0] in keep)
        return match[0] if stays else f"[{kind}]"

    return pattern.sub(hidden, text)


@lru_cache(maxsize=len(PERSONAL))
def _personal(kind: str) -> tuple[re.Pattern[str], Callable[[str], bool]]:
    """Return the form of a kind, and what checks a match: its check digits, where it has any."""
    from pydantic_ai_harness.guardrails.detectors import DEFAULT_PII_PATTERNS, personal_data

    if kind == "phone":
        return _PHONE, bool
    detect = personal_data(only=[kind])
    return re.compile(DEFAULT_PII_PATTERNS[kind]), lambda found: detect(found).action == "replace"


class _Folded(NamedTuple):
    """A text by its letters alone, and where in the text each is."""

    letters: str
    places: tuple[int, ...]


def _without_keys(text: str, keys: Collection[str]) -> str:
    known = [key for key in keys if len(key) >= SHORTEST]
    if not known:
        return text
    folded = _folded(text)
    spans = sorted(
        (folded.places[at], folded.places[at + len(form) - 1] + 1)
        for key in known
        for form in _forms(key)
        for at in _finds(folded.letters, form)
    )
    for start, end in reversed(_joined(spans)):
        text = text[:start] + HIDDEN + text[end:]
    return text


def _folded(text: str) -> _Folded:
    """Return a text's letters without case, compatibility forms and what stands between them."""
    pairs = [
        (letter, place)
        for place, character in enumerate(text)
        for letter in unicodedata.normalize("NFKC", character).casefold()
        if not letter.isspace() and unicodedata.category(letter) != "Cf"
    ]
    return _Folded("".join(one for one, _ in pairs), tuple(place for _, place in pairs))


@lru_cache(maxsize=256)
def _forms(key: str) -> tuple[str, ...]:
    """Return a key's letters as it stands, reversed and encoded."""
    raw = key.encode()
    plain = [key, key[::-1], raw.hex(), quote(key, safe="")]
    for shift in range(3):  # base64 of a text in which the key begins anywhere
        body = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        inner = body[(8 * shift + 5) // 6 : (8 * (shift + len(raw))) // 6]
        plain += [inner, inner.replace("+", "-").replace("/", "_")]
    return tuple(dict.fromkeys(_folded(form).letters for form in plain if len(form) >= SHORTEST))


def _finds(text: str, part: str) -> Generator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def masked(value: Any, change: Callable[[str], str], *, keys: bool = True) -> Any:
    """Return a value in which `change` was applied to every text, of the same structure.

    Models, dataclasses and containers are copied where something in them changes; nothing is
    validated again. Texts of a class of their own, such as enumerations, stay.

    Args:
        value: Any value.
        change: What is done to a text.
        keys: Whether the keys of dictionaries are texts, too.
    """
    go: Callable[[Any], Any] = partial(masked, change=change)
    if type(value) is str:
        return change(value)
    if isinstance(value, BaseModel):
        return _model(value, go)
    if is_dataclass(value) and not isinstance(value, type):
        return _dataclass(value, go)
    held: Any = value
    if isinstance(value, Mapping):
        return _mapping(held, go, keys=keys)
    return _many(held, go) if isinstance(value, list | tuple | set | frozenset) else value


def _model(value: BaseModel, go: Callable[[Any], Any]) -> BaseModel:
    changed = _changed({**vars(value), **(value.model_extra or {})}, go)
    return value.model_copy(update=changed) if changed else value


def _dataclass(value: Any, go: Callable[[Any], Any]) -> Any:
    changed = _changed({one.name: getattr(value, one.name) for one in fields(value)}, go)
    if not changed:
        return value
    new = copy(value)
    for name, one in changed.items():
        object.__setattr__(new, name, one)  # frozen ones, too
    return new


def _changed(held: Mapping[str, Any], go: Callable[[Any], Any]) -> dict[str, Any]:
    done = {name: go(one) for name, one in held.items()}
    return {name: one for name, one in done.items() if one is not held[name]}


def _mapping(value: Mapping[Any, Any], go: Callable[[Any], Any], *, keys: bool) -> Any:
    found: dict[Any, Any] = {}
    for name, one in value.items():
        found[_unused(go(name) if keys else name, found)] = go(one)
    same = list(found) == list(value) and all(found[name] is value[name] for name in found)
    if same or not isinstance(value, dict):
        return value if same else found
    new = copy(value)  # of its class
    new.clear()
    new.update(found)
    return new


def _unused(name: Any, taken: Collection[Any]) -> Any:
    """Return a name that is not taken: two that were masked alike stay two."""
    if name not in taken:
        return name
    number = 2
    while f"{name} {number}" in taken:
        number += 1
    return f"{name} {number}"


def _many(value: Any, go: Callable[[Any], Any]) -> Any:
    items: list[Any] = list(value)
    done = [go(one) for one in items]
    if all(new is old for new, old in zip(done, items, strict=True)):
        return value
    kind: Any = value.__class__
    return kind(*done) if hasattr(value, "_fields") else kind(done)  # a named tuple, or another
