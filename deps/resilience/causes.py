"""What an error of a model means: which of our typed errors a provider caused with it."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import cast

from pydantic_ai.exceptions import (
    AgentRunError,
    ContentFilterError,
    IncompleteToolCall,
    ModelAPIError,
    ModelHTTPError,
    UnexpectedModelBehavior,
)

from ..clock import utc_now
from ..errors import (
    ContextTooLong,
    ProviderBusy,
    ProviderDown,
    ProviderError,
    ProviderGarbled,
    ProviderRefused,
    ProviderTimeout,
    StreamCutShort,
    provider_fault,
)
from ..secrets import related, scrub

__all__ = ("fault", "retry_after", "unanswered")

Kind = type[ProviderError]

BUSY = (429, 529)
PASSING = (408, 425)
"""Of the statuses 4xx, those that may be another one when the same is asked again."""

LONGEST_QUOTE = 300
"""Characters of a provider's own words that a message repeats."""

NO_CREDIT = ("insufficient_quota", "billing_error", "credit balance is too low")

# As OpenAI, vLLM, LM Studio and OpenRouter; Anthropic; llama.cpp; LiteLLM say it.
TOO_LONG = (
    "context_length_exceeded",
    "maximum context length",
    "prompt is too long",
    "exceed_context_size",
    "available context size",
    "contextwindowexceeded",
    "context window",
    "context length",
)

# Of Pydantic AI's newer errors, those that say without a status what is wrong.
CATEGORIES: dict[str, Kind] = {
    "ModelContextWindowExceededError": ContextTooLong,
    "ModelQuotaExceededError": ProviderRefused,
    "ModelRequestRejectedError": ProviderRefused,
    "ModelRateLimitError": ProviderBusy,
    "ModelOverloadedError": ProviderBusy,
    "ModelTimeoutError": ProviderTimeout,
    "ModelRequestTimeout": ProviderTimeout,
}

FINAL = (ContextTooLong, ProviderRefused)

# What an error within a stream calls itself: it has no status.
CODES: dict[str, Kind] = {
    "overloaded_error": ProviderBusy,
    "rate_limit_error": ProviderBusy,
    "rate_limit_exceeded": ProviderBusy,
    "invalid_request_error": ProviderRefused,
    "authentication_error": ProviderRefused,
    "permission_error": ProviderRefused,
    "not_found_error": ProviderRefused,
}

TRANSPORTS = ("httpx2", "httpcore2", "httpx", "httpcore", "h11", "h2", "aiohttp", "anyio", "ssl")
SDKS = ("openai", "anthropic")

# What reading an answer raises that does not look as it should.
MISREAD = (TypeError, AttributeError, LookupError, ValueError, AssertionError)

NEXT: dict[Kind, str] = {
    ContextTooLong: "send less, or ask a model with a larger window",
    ProviderRefused: "it will again: check the key, the model's name and the request",
    ProviderBusy: "ask less at once and in a minute, or another model",
    ProviderDown: "ask again later, or another model",
    ProviderTimeout: "give it more time, or ask another model",
    ProviderGarbled: "ask again, or check that the address speaks this protocol",
    StreamCutShort: "what came of it is no answer, ask again",
}

SAID: dict[Kind, str] = {
    ContextTooLong: "cannot read so much",
    ProviderRefused: "refuses the request",
    ProviderBusy: "takes no more requests now",
    ProviderDown: "cannot be reached or cannot work",
    ProviderTimeout: "did not answer in time",
    ProviderGarbled: "gave an answer that cannot be read",
    StreamCutShort: "broke off its answer",
}


def fault(
    error: Exception,
    name: str,
    *,
    remote: bool = False,
    secrets: Iterable[str] = (),
    now: Callable[[], datetime] = utc_now,
) -> ProviderError | None:
    """Return what an error of the model called `name` means; None if it is no provider's fault.

    Args:
        error: What a request raised. One of ours is returned as it is.
        name: For the message.
        remote: Whether the model speaks with a provider over a network. Only then is an error of
            a transport, or one in reading the answer, the provider's.
        secrets: Texts that must not be in the message.
        now: The time of day, for a Retry-After that is a date in an answer without one.
    """
    if isinstance(error, ProviderError):
        return error
    kind = _kind(error, remote)
    if kind is None:
        return None
    status = error.status_code if isinstance(error, ModelHTTPError) else None
    pause = retry_after(error, now) if isinstance(error, ModelHTTPError) else None
    http = f" (HTTP {status})" if status else ""
    message = f"model {name!r} {SAID[kind]}{http}: {_words(error, secrets)}; {NEXT[kind]}"
    return kind(message, model_name=name, status=status, retry_after=pause)


def _kind(error: Exception, remote: bool) -> Kind | None:
    if isinstance(error, ModelHTTPError):
        return _of_http(error)
    if isinstance(error, ModelAPIError):
        return _of_category(error) or _of_code(error) or _of_causes(error) or ProviderDown
    if isinstance(error, (ContentFilterError, IncompleteToolCall)):
        return None  # the model's own doing, and Pydantic AI has a type for it
    if not remote:
        return None
    return ProviderGarbled if isinstance(error, UnexpectedModelBehavior) else _of_raw(error)


def _of_http(error: ModelHTTPError) -> Kind:
    found = _of_status(error.status_code, _text(error))
    category = _of_category(error)
    # Where Pydantic AI knows the provider's codes, it may know better that waiting does not help.
    sharper = found in (ProviderRefused, ProviderBusy) and category in FINAL
    return category if sharper and category else found


def _of_status(status: int, text: str) -> Kind:
    if status == HTTPStatus.PAYMENT_REQUIRED or any(sign in text for sign in NO_CREDIT):
        return ProviderRefused  # no waiting fills an account
    if status in BUSY:
        return ProviderBusy
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in PASSING:
        return ProviderDown
    return ContextTooLong if any(sign in text for sign in TOO_LONG) else ProviderRefused


def _of_category(error: ModelAPIError) -> Kind | None:
    names = [kind.__name__ for kind in type(error).__mro__]
    return next((CATEGORIES[name] for name in names if name in CATEGORIES), None)


def _of_code(error: Exception) -> Kind | None:
    codes = (code for one in related(error) for code in _codes(getattr(one, "body", None)))
    return next((CODES[code] for code in codes if code in CODES), None)


def _codes(body: object) -> Iterator[str]:
    """Yield what an error's body calls itself; Anthropic's has the error within."""
    if isinstance(body, Mapping):
        said = cast(Mapping[str, object], body)
        yield from _codes(said.get("error"))
        yield from (str(said[name]) for name in ("code", "type") if name in said)


def _of_causes(error: Exception) -> Kind | None:
    """Read an error that hides another one."""
    if "finish_reason" in str(error):
        return StreamCutShort
    if str(error).startswith("Expected a JSON response"):
        return ProviderGarbled
    kinds = (_of_raw(one) for one in related(error) if one is not error)
    return next((kind for kind in kinds if kind is not None), None)


def _of_raw(error: BaseException) -> Kind | None:
    """Read an error of an SDK, of its transport, or of Python."""
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return ProviderTimeout
    roots = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if isinstance(error, OSError) or not roots.isdisjoint(TRANSPORTS):
        decoding = "Decoding" in type(error).__name__
        return ProviderGarbled if decoding else ProviderDown
    if not roots.isdisjoint(SDKS):
        return _of_sdk(cast(Exception, error))
    return ProviderGarbled if isinstance(error, (*MISREAD, EOFError)) else None


def _of_sdk(error: Exception) -> Kind:
    if "Validation" in type(error).__name__:
        return ProviderGarbled
    status: object = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= HTTPStatus.BAD_REQUEST:
        return _of_status(status, _text(error))
    return _of_code(error) or ProviderDown


def _words(error: Exception, secrets: Iterable[str]) -> str:
    """Return the provider's own words, or else the error's, on one line."""
    said = _said(getattr(error, "body", None)) or str(error)
    if not isinstance(error, ModelAPIError):
        said = f"{type(error).__name__}: {said}"
    # Scrubbed before it is cut: half a key would no longer look like one.
    line = " ".join(scrub(said, secrets).split())
    return line if len(line) <= LONGEST_QUOTE else f"{line[:LONGEST_QUOTE]}..."


def _said(body: object) -> str | None:
    if isinstance(body, Mapping):
        found = cast(Mapping[str, object], body)
        message = found.get("message")
        return message if isinstance(message, str) else _said(found.get("error"))
    return None


def _text(error: Exception) -> str:
    """Return everything that an answer says, in small letters, to look for signs in it."""
    body: object = getattr(error, "body", None)
    said = body if isinstance(body, str) else json.dumps(body, default=str)
    return said.lower()


def retry_after(error: ModelHTTPError, now: Callable[[], datetime] = utc_now) -> float | None:
    """Return the seconds that a provider asks to wait; None if it names none that are left.

    A date is read against the answer's own Date, so that the two clocks need not agree.
    """
    headers = error.headers or {}
    said = headers.get("retry-after", "").strip()
    try:
        seconds = float(said)
    except ValueError:
        until, dated = _date(said), _date(headers.get("date", ""))
        seconds = (until - (dated or now())).total_seconds() if until else 0.0
    return seconds if 0 < seconds < math.inf else None


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:  # absent, or no date of HTTP
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)  # "-0000" names no zone


def unanswered(error: BaseException) -> bool:
    """Tell whether a model gave no valid answer, by its provider's fault or by its own."""
    return isinstance(error, AgentRunError) or provider_fault(error)
