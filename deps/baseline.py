"""A deterministic, non-LLM solver, dressed as a Pydantic AI model.

It passes through the same loop as an LLM: instructions, tools, output validation, retries, usage,
tracing, streaming. It costs nothing and is always called `baseline:<agent>`.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage
from pydantic_core import to_json, to_jsonable_python

from .errors import InputError

__all__ = ("BaselineModel", "Wanted", "is_baseline", "layers")


_EVERY_MODE = ModelProfile(supports_json_schema_output=True, supports_json_object_output=True)


@dataclass(frozen=True)
class Wanted:
    """The call of a tool that comes before an output; see `acting`."""

    call: ToolCallPart


class BaselineModel(Model):
    """Answer with what `solve` makes of the run's prompt.

    Args:
        agent: The agent's name; the model is called `baseline:<agent>`.
        solve: From the text of the last user prompt to an output of the agent. A coroutine is
            awaited, a plain function runs in a worker thread. Bind deps and parse the prompt
            (`unfence`) in it; raise `Unsolvable` where there is no honest answer.
    """

    def __init__(self, agent: str, solve: Callable[[str], Any | Awaitable[Any]]) -> None:
        self._agent = agent
        self._solve = solve
        super().__init__(profile=_EVERY_MODE)

    @property
    def model_name(self) -> str:
        return f"baseline:{self._agent}"

    @property
    def system(self) -> str:
        return "assay"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        _, params = self.prepare_request(model_settings, model_request_parameters)
        output = await self._solved(messages, params)
        wanted = output if isinstance(output, Wanted) else None
        return ModelResponse(
            parts=[wanted.call if wanted else _as_part(output, params)],
            model_name=self.model_name,
            usage=RequestUsage(cost=Decimal(0)),
            finish_reason="tool_call" if wanted else "stop",
        )

    async def _solved(self, messages: list[ModelMessage], params: ModelRequestParameters) -> object:
        """Return an output, or what is `Wanted` first."""
        prompt = _last_prompt(messages)
        if inspect.iscoroutinefunction(self._solve):
            return await self._solve(prompt)
        output = await asyncio.to_thread(self._solve, prompt)
        return await output if inspect.isawaitable(output) else output  # a lambda's coroutine

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        response = await self.request(messages, model_settings, model_request_parameters)
        yield CompletedStreamedResponse(
            response, model_request_parameters=model_request_parameters, replay_events=True
        )


def _last_prompt(messages: list[ModelMessage]) -> str:
    for message in reversed(messages):
        if isinstance(message, ModelRequest):
            for part in reversed(message.parts):
                if isinstance(part, UserPromptPart) and isinstance(part.content, str):
                    return part.content
    raise InputError("a baseline reads the last user prompt as text, and there is none")


def _as_part(output: object, params: ModelRequestParameters) -> ToolCallPart | TextPart:
    """Put an output where the agent's output mode expects it."""
    if params.output_tools:
        tool = _tool_for(output, params.output_tools)
        args = to_jsonable_python(output)
        key = tool.outer_typed_dict_key
        return ToolCallPart(tool.name, {key: args} if key else args)
    return TextPart(output if isinstance(output, str) else to_json(output).decode())


def _tool_for(output: object, tools: list[ToolDefinition]) -> ToolDefinition:
    """Return the output tool of this type: a union's members have one each, named after them."""
    name = type(output).__name__
    return next((tool for tool in tools if tool.name.endswith(f"_{name}")), tools[0])


def is_baseline(model: Model) -> bool:
    """Tell whether a model, or what it wraps, is a baseline: it costs nothing and fails alike."""
    return any(isinstance(layer, BaselineModel) for layer in layers(model))


def layers(model: Model) -> Generator[Model]:
    """Yield a model, what it wraps, and so on to the innermost."""
    yield model
    while isinstance(model, WrapperModel):
        model = model.wrapped
        yield model
