"""Check what was filled into a form: each value against its quote, and the whole."""

from typing import Any

from pydantic import ValidationError
from pydantic_ai import ModelRetry

from ..deps.drafts import Draft, T, demand, filled
from .quotes import Quote, not_there, verbatim

__all__ = ("proved",)


def proved(target: type[T], text: str, form: Draft[Any]) -> tuple[T, dict[str, Quote]]:
    """Find every quote in the text and make a target of the values, or send the form back.

    Raises:
        ModelRetry: a value has no quote, a quote is not in the text, or the target refuses a value.
        NotFound: the form lacks fields that the target requires.
    """
    leaves = [path for path, _ in filled(form.value)]
    claims = {claim.field: claim for claim in form.quotes}
    wrong = [f"{path!r} has a value but no quote." for path in leaves if path not in claims]
    wrong += [f"{path!r} has a quote but no value." for path in claims if path not in leaves]
    found = {path: verbatim(text, c.quote, after=c.after) for path, c in claims.items()}
    wrong += [
        f"{path!r}: {not_there(text, claims[path].quote)}"
        for path, quote in found.items()
        if quote is None
    ]
    if wrong:
        raise ModelRetry("\n".join([*wrong, "Correct this, or leave fields null."]))
    try:
        value = demand(target, form.value)
    except ValidationError as e:
        raise ModelRetry(f"The form does not hold together: {e}. Read the text again.") from e
    return value, {path: quote for path, quote in found.items() if quote}
