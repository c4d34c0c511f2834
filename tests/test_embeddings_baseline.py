"""The baseline of embeddings: no LLM, no server, and the same vectors everywhere."""

import asyncio
from math import hypot
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.embeddings import Embedder

from assay.deps import Models
from assay.deps.providers.embeddings import DIMENSIONS, BaselineEmbedding

KEY = "planted-key-without-a-form"


async def test_the_baseline_is_no_llm_and_needs_no_server() -> None:
    embedder = Models(roles={"embed": "baseline"}).embedder()
    result = await embedder.embed_documents(["Paris", ""])
    assert (result.model_name, result.usage.cost) == ("baseline:embed", 0)
    assert [len(vector) for vector in result.embeddings] == [DIMENSIONS] * 2
    assert not any(result.embeddings[1])
    small = await embedder.embed_query("Paris", settings={"dimensions": 64})
    assert len(small.embeddings[0]) == 64


@given(st.lists(st.text(max_size=40), max_size=6))
def test_a_text_has_the_baselines_vector_whatever_stands_beside_it(texts: list[str]) -> None:
    together, alone = asyncio.run(embedded(texts))
    assert together == alone
    assert all(hypot(*v) == pytest.approx(1) or not any(v) for v in together)


async def embedded(texts: list[str]) -> tuple[list[Any], list[Any]]:
    embedder = Embedder(BaselineEmbedding())
    whole = await embedder.embed_documents(texts)
    return list(whole.embeddings), [(await embedder.embed_query(t)).embeddings[0] for t in texts]


async def test_the_baselines_vectors_never_change() -> None:
    found = await Embedder(BaselineEmbedding()).embed_query("card", settings={"dimensions": 8})
    # Of 9 n-grams: " ca", "car", "ard", "rd ", " car", "card", "ard ", " card", "card ".
    fifth = 5**-0.5
    signs = [0, -1, 0, 1, 0, 1, -1, -1]
    assert list(found.embeddings[0]) == pytest.approx([sign * fifth for sign in signs])
