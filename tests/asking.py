"""Ask a model, whole or as a stream, and return the text it says."""

from pydantic_ai.messages import ModelMessage, ModelRequest, TextPart
from pydantic_ai.models import Model, ModelRequestParameters

ASKED: list[ModelMessage] = [ModelRequest.user_text_prompt("hello")]


async def ask(model: Model) -> str:
    response = await model.request(ASKED, None, ModelRequestParameters())
    (part,) = response.parts
    assert isinstance(part, TextPart)
    return part.content


async def stream(model: Model) -> str:
    async with model.request_stream(ASKED, None, ModelRequestParameters()) as answer:
        async for _ in answer:
            pass
        (part,) = answer.get().parts
    assert isinstance(part, TextPart)
    return part.content
