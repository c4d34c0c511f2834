"""How a model is asked for a validated output: by a tool call, a JSON schema, or in words.

| mode | asks for the output by | works where |
|---|---|---|
| `tool` | a call of an output tool | the server calls tools: nearly all large models |
| `native+tools` | `response_format` with a JSON schema, beside the agent's tools | it does both |
| `native` | `response_format` with a JSON schema, no tools | it constrains what it generates |
| `prompted` | the schema in the instructions, no tools | everywhere; only validation holds it |

Agents are written for `tool`. For a model that cannot, or does it badly, `in_mode` puts a layer
around it that asks in another mode and answers with the tool call that the agent waits for, so an
agent, its output functions, validators and retries stay as they are.

`native+tools` is for models that call tools and yet often answer in words, or with broken
arguments, where the output tool is due. Many servers take a schema and tools together and heed only
one of them, so no profile speaks for it: `assay models --check` finds out.
"""

import re
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.profiles import DEFAULT_PROMPTED_OUTPUT_TEMPLATE
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from ..baseline import layers
from ..errors import ConfigError

__all__ = ("MODES", "Mode", "OutputModes", "current_mode", "in_mode", "mode_of")

Mode: TypeAlias = Literal["tool", "native+tools", "native", "prompted"]

MODES: tuple[Mode, ...] = get_args(Mode)
"""Best first: what agents are written for, what keeps their tools, what holds the output."""

AUTO = "auto"

_NO_TOOLS = "There are no tools here to call: answer from what you are given."

_FENCED = re.compile(r"```\w*\s*(\{.*\})\s*```", re.DOTALL)


@dataclass(frozen=True)
class OutputModes:
    """Which mode is for which model.

    Args:
        default: For the models that are not named; None goes by what is known of the model.
        by_model: Pairs of a model's name and its mode.
    """

    default: Mode | None = None
    by_model: tuple[tuple[str, Mode], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "OutputModes":
        """Read `auto`, `prompted`, or `llama3.2=prompted, openai:gpt-5=tool`.

        Raises:
            ConfigError: a mode that does not exist.
        """
        default: Mode | None = None
        by_model: list[tuple[str, Mode]] = []
        for entry in filter(None, map(str.strip, text.split(","))):
            name, named, word = entry.rpartition("=")
            mode = _mode(word.strip(), text)
            if not named:
                default = mode
            elif mode is not None:
                by_model.append((name.strip(), mode))
        return cls(default, tuple(by_model))

    def of(self, name: str, model: Model) -> Mode:
        """Return the mode for a model called `name`."""
        return dict(self.by_model).get(name) or self.default or mode_of(model)


def _mode(word: str, text: str) -> Mode | None:
    if word == AUTO:
        return None
    if word not in MODES:
        raise ConfigError(
            f"no output mode is called {word!r} in {text!r}; there are {AUTO}, {', '.join(MODES)}, "
            "alone or after a model's name: llama3.2=prompted"
        )
    return word


def mode_of(model: Model) -> Mode:
    """Return the mode that Pydantic AI's profile of a model speaks for."""
    profile = model.profile
    if profile.get("supports_tools", True):
        return "tool"
    known = profile.get("default_structured_output_mode", "tool")
    if known != "tool":
        return known
    return "native" if profile.get("supports_json_schema_output", False) else "prompted"


def in_mode(model: Model, mode: Mode) -> Model:
    """Return a model that is asked for outputs in `mode`.

    `native` and `prompted` offer no tools at all: they are for models without tool calling.
    """
    return model if mode == "tool" else _WithoutOutputTool(model, mode)


def current_mode(model: Model) -> Mode:
    """Return the mode that a model, with all its layers, is asked in."""
    for layer in layers(model):
        if isinstance(layer, _WithoutOutputTool):
            return layer.mode
    return "tool"


class _WithoutOutputTool(WrapperModel):
    """Asks without the output tool, and answers as if it had been called."""

    def __init__(self, wrapped: Model, mode: Mode) -> None:
        super().__init__(wrapped)
        self.mode: Mode = mode
        self._schema = mode in ("native", "native+tools")
        self._tools = mode == "native+tools"

    def prepare_request(
        self, model_settings: ModelSettings | None, model_request_parameters: ModelRequestParameters
    ) -> tuple[ModelSettings | None, ModelRequestParameters]:
        # Agents settle the mode by this, and replay takes its key from it.
        return self.wrapped.prepare_request(model_settings, self._asking(model_request_parameters))

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        asking = self._asking(model_request_parameters)
        response = await self.wrapped.request(_told_in(messages, asking), model_settings, asking)
        return _as_call(response, _only_tool(model_request_parameters), _offered(asking))

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        asking, tool = self._asking(model_request_parameters), _only_tool(model_request_parameters)
        async with self.wrapped.request_stream(
            _told_in(messages, asking), model_settings, asking, run_context
        ) as stream:
            if tool is None:
                yield stream
                return
            async for _ in stream:  # text in a code fence is JSON only when its end has come
                pass
            yield CompletedStreamedResponse(
                _as_call(stream.get(), tool, _offered(asking)),
                model_request_parameters=model_request_parameters,
                replay_events=True,
            )

    async def count_tokens(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> RequestUsage:
        asking = self._asking(model_request_parameters)
        return await self.wrapped.count_tokens(_told_in(messages, asking), model_settings, asking)

    def _asking(self, params: ModelRequestParameters) -> ModelRequestParameters:
        """Return what is asked for, in this mode."""
        if params.function_tools and not self._tools:
            params = _told(replace(params, function_tools=[]), _NO_TOOLS)
        if (tool := _only_tool(params)) is not None:
            form = OutputObjectDefinition(
                tool.parameters_json_schema, name=tool.name, description=tool.description
            )
            params = replace(params, output_mode="auto", output_tools=[], output_object=form)
        if params.output_mode in ("auto", "native", "prompted"):
            return self._asking_for_json(params)
        return params

    def _asking_for_json(self, params: ModelRequestParameters) -> ModelRequestParameters:
        if self._schema:
            return replace(params, output_mode="native", output_tools=[], allow_text_output=True)
        template = params.prompted_output_template
        if template is None:
            template = self.profile.get(
                "prompted_output_template", DEFAULT_PROMPTED_OUTPUT_TEMPLATE
            )
        wanted = replace(params, prompted_output_template=template).prompted_output_instructions
        # As text: Pydantic AI's own prompted mode may send a `response_format`, which some refuse.
        plain = replace(
            params,
            output_mode="text",
            output_tools=[],
            output_object=None,
            prompted_output_template=None,
            allow_text_output=True,
        )
        return _told(plain, wanted) if wanted else plain


def _told(params: ModelRequestParameters, instruction: str) -> ModelRequestParameters:
    parts = [*(params.instruction_parts or []), InstructionPart(content=instruction)]
    return replace(params, instruction_parts=InstructionPart.sorted(parts))


def _only_tool(params: ModelRequestParameters) -> ToolDefinition | None:
    """Return the output tool that an agent insists on; None where plain text is as welcome.

    Of a plain output type Pydantic AI itself takes the JSON as text.

    Raises:
        ConfigError: there are several.
    """
    if params.output_mode != "tool" or not params.output_tools:
        return None
    if len(params.output_tools) > 1:
        names = ", ".join(tool.name for tool in params.output_tools)
        raise ConfigError(
            f"a model that calls no output tool cannot choose between the output tools {names}; "
            "give the agent the plain output types, not ToolOutput(...) around each"
        )
    return params.output_tools[0]


def _as_call(
    response: ModelResponse, tool: ToolDefinition | None, offered: Collection[str]
) -> ModelResponse:
    """Return a response whose text has become the call of the output tool.

    Beside a call of a tool that is offered, text is no output yet.
    """
    text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
    calls = any(isinstance(p, ToolCallPart) and p.tool_name in offered for p in response.parts)
    if tool is None or calls or not text.strip():
        return response
    others = [part for part in response.parts if not isinstance(part, TextPart)]
    return replace(response, parts=[*others, ToolCallPart(tool.name, _json_in(text))])


def _offered(asking: ModelRequestParameters) -> frozenset[str]:
    return frozenset(tool.name for tool in asking.function_tools)


def _json_in(text: str) -> str:
    """Return the JSON object in a text, or the text, for the validator to refuse."""
    if fenced := _FENCED.search(text):
        return fenced[1]
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text


def _told_in(messages: list[ModelMessage], asking: ModelRequestParameters) -> list[ModelMessage]:
    """Return a conversation in which tools that are not offered were called in words.

    A server without tool calling refuses such calls and results, also those of another model.
    """
    offered = _offered(asking)
    return [_message_in_words(message, offered) for message in messages]


def _message_in_words(message: ModelMessage, offered: Collection[str]) -> ModelMessage:
    if isinstance(message, ModelResponse):
        return replace(message, parts=[_call_in_words(part, offered) for part in message.parts])
    return replace(message, parts=[_result_in_words(part, offered) for part in message.parts])


def _call_in_words(part: ModelResponsePart, offered: Collection[str]) -> ModelResponsePart:
    if isinstance(part, ToolCallPart) and part.tool_name not in offered:
        return TextPart(part.args_as_json_str())
    return part


def _result_in_words(part: ModelRequestPart, offered: Collection[str]) -> ModelRequestPart:
    if isinstance(part, ToolReturnPart) and part.tool_name not in offered:
        return UserPromptPart(f"{part.tool_name}: {part.model_response_str()}")
    if part.part_kind == "retry-prompt" and part.tool_name not in (None, *offered):
        return UserPromptPart(f"{part.tool_name}: {part.model_response()}")
    return part
