"""Take keys, and if wanted all content, out of spans before anybody exports them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast
from urllib.parse import quote

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import Link, Status
from pydantic import SecretStr

from ..secrets import HIDDEN, SHORTEST, scrub

__all__ = ("Scrubbing",)

# What quotes a prompt, an answer, arguments or a provider's body in an error.
_ERROR_TEXTS = frozenset({"error.message", "exception.message", "exception.stacktrace"})


class Scrubbing(SpanProcessor):
    """Scrubs a span's name, attributes, events, links and status, for all processors after it.

    It has to be the first of its provider's processors, which are told of a span one after another
    and share one copy of it; a provider with `ConcurrentMultiSpanProcessor` has no order. What the
    resource says (host, service) stays. See `secrets.scrub` for what is recognised.

    Args:
        secrets: Texts that must not be in a span. Keys of known providers are recognised anyway.
        content: False takes out what errors say as well, as it may quote prompts and answers; the
            prompts and answers themselves are left out by whoever makes the spans.
    """

    def __init__(self, secrets: Iterable[SecretStr] = (), *, content: bool = True) -> None:
        self._secrets = tuple(_forms(secret.get_secret_value() for secret in secrets))
        self._content = content
        self._name = lru_cache(maxsize=1024)(self._text)  # names are few, and come again and again

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        # A span that has begun may be shown at once: consoles do so, and Logfire.
        span.update_name(self._text(span.name))
        for name, value in (span.attributes or {}).items():
            if (clean := self._value(value)) != value:
                span.set_attribute(name, clean)

    def on_end(self, span: ReadableSpan) -> None:
        # There is no public way to change a span that has ended, nor its events before.
        vars(span).update(
            _name=self._text(span.name),
            _attributes=self._attributes(span.attributes),
            _events=tuple(map(self._event, span.events)),
            _links=tuple(Link(one.context, self._attributes(one.attributes)) for one in span.links),
            _status=self._status(span.status),
        )

    def _event(self, event: Event) -> Event:
        return Event(self._text(event.name), self._attributes(event.attributes), event.timestamp)

    def _status(self, status: Status) -> Status:
        said = status.description
        if not said:
            return status
        return Status(status.status_code, self._text(said) if self._content else None)

    def _attributes(self, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
        return {
            self._name(name): self._value(value)
            for name, value in (attributes or {}).items()
            if self._content or name not in _ERROR_TEXTS
        }

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return self._attributes(cast(Mapping[str, Any], value))
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            items: Sequence[Any] = cast(Any, value)
            return tuple(map(self._value, items))
        return value

    def _text(self, text: str) -> str:
        if len(text) < SHORTEST:
            return text
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        return scrub(text)


def _forms(secrets: Iterable[str]) -> Iterable[str]:
    """Yield each secret as it may stand in a span, longest first.

    Messages are JSON, and hold arguments that are JSON in a text themselves.
    """
    found: set[str] = set()
    for secret in secrets:
        if len(secret) < SHORTEST:
            continue
        ascii_only = json.dumps(secret)[1:-1]
        once = json.dumps(secret, ensure_ascii=False)[1:-1]
        twice = (json.dumps(one)[1:-1] for one in (ascii_only, once))
        found |= {secret, ascii_only, once, *twice, repr(secret)[1:-1]}
        found.add(quote(secret.encode("utf-8", "surrogatepass"), safe=""))
    return sorted(found, key=len, reverse=True)
