"""A value is built once per key, whoever asks at once."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.deps import Memo


async def test_fifty_at_once_build_once() -> None:
    memo, built = Memo(), list[int]()

    def build() -> str:
        built.append(threading.get_ident())
        return "fitted"

    assert set(await asyncio.gather(*(memo.get("key", build) for _ in range(50)))) == {"fitted"}
    assert len(built) == 1
    assert built[0] != threading.get_ident()  # off the event loop


async def test_a_failure_is_told_and_not_kept() -> None:
    memo = Memo()

    def fail() -> str:
        raise ValueError("no examples")

    with pytest.raises(ValueError, match="no examples"):
        await memo.get("key", fail)
    assert await memo.get("key", lambda: "second try") == "second try"


@given(st.lists(st.sampled_from("abcdef"), max_size=40), st.integers(1, 4))
def test_it_keeps_the_last_used(keys: list[str], size: int) -> None:
    memo, recent = Memo(size=size), list[str]()
    for key in keys:
        built = list[str]()
        assert memo.get_sync(key, lambda: built.append("x") or key) == key  # noqa: B023
        assert bool(built) == (key not in recent)
        recent = [*(k for k in recent if k != key), key][-size:]
