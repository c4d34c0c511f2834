"""Vectors of texts: embedding models, asked with the same care as chat models.

| name | is |
|---|---|
| `openai:text-embedding-3-small` | OpenAI's; `ollama:`, `vllm:`, `litellm:`, `openrouter:` alike |
| `cohere:...`, `google:...`, `voyageai:...`, `bedrock:...` | as Pydantic AI has them |
| `nomic-embed-text` | that model at the endpoint, OpenAI-compatible |
| `baseline` | hashed character n-grams: not an LLM, no key, no network |

`Models.embedder()` gives Pydantic AI's own `Embedder` of the model that `ASSAY_EMBED_MODEL` names.
What stands around chat models stands around its requests too: typed faults, limits, retries,
budgets and recordings, with one limit and one circuit for all that asks one provider.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from math import isfinite
from typing import Any, Protocol, cast

from pydantic_ai.embeddings import (
    EmbeddingModel,
    EmbeddingResult,
    EmbeddingSettings,
    WrapperEmbeddingModel,
)
from pydantic_ai.embeddings.result import EmbedInputType
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.providers import Provider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from ..errors import ProviderGarbled, ProviderRefused
from .names import Clients, Endpoint, build_embedding

__all__ = ("BaselineEmbedding", "Embeds", "LayeredEmbedding", "VectorRequests", "vector_requests")

Vectors = Sequence[Sequence[float]]

DIMENSIONS = 1024
"""Of the baseline's vectors: with half it finds 4 of 100 fewer, with twice as many 1 more."""

VECTORS = "vectors"
"""Where a response has its vectors: in `provider_details`, which recordings keep."""


class Embeds(Protocol):
    """What a tool or an index asks for its vectors; Pydantic AI's `Embedder` is one.

    Some models embed what is looked for and what is found differently, hence two methods. A result
    has one vector per text, in their order, and what it took in `usage`: where an agent's tool
    asks, add that with `ctx.usage.incr(result.usage)`.
    """

    async def embed_query(self, query: str | Sequence[str], /) -> EmbeddingResult: ...

    async def embed_documents(self, documents: str | Sequence[str], /) -> EmbeddingResult: ...


class VectorRequests(Model):
    """An embedding model as the layers around chat models see one.

    A request's only part holds the texts, its instructions say what they are, and its settings are
    `EmbeddingSettings`. A response tells in words how many vectors there are, and has them under
    `VECTORS`.

    Args:
        embedding: What makes the vectors.
        provider: Whose client it uses; None for a model in this process.
    """

    def __init__(self, embedding: EmbeddingModel, provider: Provider[Any] | None) -> None:
        super().__init__()
        self.embedding = embedding
        if provider is not None:
            self._provider = provider

    @property
    def model_name(self) -> str:
        return self.embedding.model_name

    @property
    def system(self) -> str:
        return self.embedding.system

    @property
    def base_url(self) -> str | None:
        return self.embedding.base_url

    @property
    def client(self) -> object:
        """The provider's client, whose key no error may show."""
        return None if self.provider is None else self.provider.client

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        texts, kind = _asked(messages)
        settings = cast(EmbeddingSettings | None, model_settings)
        result = await self.embedding.embed(texts, input_type=kind, settings=settings)
        vectors = result.embeddings
        self._check(vectors, len(texts), (settings or {}).get("dimensions"))
        return ModelResponse(
            parts=[TextPart(f"{len(vectors)} vectors of {len(vectors[0])} dimensions")],
            usage=result.usage,
            model_name=result.model_name or self.model_name,
            provider_name=result.provider_name,
            provider_details={**(result.provider_details or {}), VECTORS: vectors},
            provider_response_id=result.provider_response_id,
            finish_reason="stop",
        )

    def _check(self, vectors: Vectors, texts: int, dimensions: int | None) -> None:
        """Refuse what no index could use: nothing later would find out, only find less."""
        name, wrong = self.model_name, _what_is_wrong(vectors, texts)
        if wrong:
            raise ProviderGarbled(
                f"model {name!r} gave {wrong}; check that it is an embedding model",
                model_name=name,
            )
        if dimensions not in (None, len(vectors[0])):
            raise ProviderRefused(  # it will again
                f"model {name!r} gave vectors of {len(vectors[0])} dimensions where {dimensions} "
                "were asked for; ask for those that it has, or for none",
                model_name=name,
            )


def _what_is_wrong(vectors: Vectors, texts: int) -> str:
    lengths = sorted({len(vector) for vector in vectors})
    if len(vectors) != texts:
        return f"{len(vectors)} vectors for {texts} texts"
    if len(lengths) > 1 or 0 in lengths:
        return f"vectors of {', '.join(map(str, lengths))} dimensions in one answer"
    if not all(isfinite(value) for vector in vectors for value in vector):
        return "a vector with a value that is no number"
    return ""


def vector_requests(model_id: str, endpoint: Endpoint | None, clients: Clients) -> VectorRequests:
    """Return the embedding model that a name stands for.

    Raises:
        UnknownModel: nobody here knows the name as an embedding model's.
        MissingExtra: its provider's library is not installed.
        ConfigError: a key or an address is missing.
    """
    return VectorRequests(*build_embedding(model_id, endpoint, clients))


class LayeredEmbedding(WrapperEmbeddingModel):
    """An embedding model whose requests pass through layers.

    Args:
        requests: The model itself.
        asked: The same, in all that stands around it.
    """

    def __init__(self, requests: VectorRequests, asked: Model) -> None:
        super().__init__(requests.embedding)
        self.asked = asked

    async def embed(
        self,
        inputs: str | Sequence[str],
        *,
        input_type: EmbedInputType,
        settings: EmbeddingSettings | None = None,
    ) -> EmbeddingResult:
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        if not texts:  # a provider would refuse it
            return self._result(ModelResponse([], provider_details={VECTORS: []}), [], input_type)
        response = await self.asked.request(
            [ModelRequest([UserPromptPart(texts)], instructions=input_type)],
            cast(ModelSettings | None, settings),
            ModelRequestParameters(),
        )
        return self._result(response, texts, input_type)

    def _result(
        self, response: ModelResponse, texts: list[str], input_type: EmbedInputType
    ) -> EmbeddingResult:
        details = dict(response.provider_details or {})
        result = EmbeddingResult(
            details.pop(VECTORS),
            inputs=texts,
            input_type=input_type,
            model_name=response.model_name or self.model_name,
            provider_name=response.provider_name or self.system,
            timestamp=response.timestamp,
            usage=response.usage,
            provider_details=details or None,
            provider_response_id=response.provider_response_id,
        )
        result.usage = _priced(response.usage, result)
        return result


class BaselineEmbedding(EmbeddingModel):
    """Hashed character n-grams of words: texts are near that share spelling, whatever they mean.

    Not an LLM. Nothing is fitted, so a text has the same vector everywhere and always: of unit
    length, or all zeros where a text has no words. 120 English paragraphs asked by 632 questions
    (XQuAD): the right one is first for 76%, among the first five for 91%. Whole words hashed alike
    come to 52% and 71%.
    """

    @property
    def model_name(self) -> str:
        return "baseline:embed"

    @property
    def system(self) -> str:
        return "assay"

    async def embed(
        self,
        inputs: str | Sequence[str],
        *,
        input_type: EmbedInputType,
        settings: EmbeddingSettings | None = None,
    ) -> EmbeddingResult:
        texts, settings = self.prepare_embed(inputs, settings)
        dimensions = settings.get("dimensions") or DIMENSIONS
        return EmbeddingResult(
            await asyncio.to_thread(_hashed, texts, dimensions) if texts else [],
            inputs=texts,
            input_type=input_type,
            model_name=self.model_name,
            provider_name=self.system,
            usage=RequestUsage(cost=Decimal(0)),
        )


def _hashed(texts: list[str], dimensions: int) -> Vectors:
    from sklearn.feature_extraction import text as extraction  # type: ignore[import-untyped]

    hashing: Any = extraction.HashingVectorizer(
        analyzer="char_wb", ngram_range=(3, 5), n_features=dimensions, norm="l2"
    )
    return cast(Vectors, hashing.transform(texts).toarray().tolist())


def _asked(messages: list[ModelMessage]) -> tuple[list[str], EmbedInputType]:
    """Return the texts of a request, and whether they are queries."""
    request = messages[-1]
    assert isinstance(request, ModelRequest)
    (part,) = request.parts
    assert isinstance(part, UserPromptPart)
    texts = [text for text in part.content if isinstance(text, str)]
    return texts, "query" if request.instructions == "query" else "document"


def _priced(usage: RequestUsage, result: EmbeddingResult) -> RequestUsage:
    """Return a usage with its cost in dollars, where the price is known and the tokens are told."""
    if usage.cost is not None or not usage.total_tokens:
        return usage
    try:
        return replace(usage, cost=result.cost().total_price)
    except (LookupError, ValueError):  # no such model in the lists; usage that makes no sense
        return usage
