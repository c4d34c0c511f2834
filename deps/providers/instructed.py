"""An OpenAI-compatible endpoint asked through instructor, as a Pydantic AI model.

Pydantic AI asks for typed output by tool calls, or by a `json_schema` response format. Some
endpoints have neither, or do it badly. instructor knows further ways:

| name | asks by |
|---|---|
| `instructor:json:MODEL` | the schema in the system message, `response_format: json_object` |
| `instructor:md_json:MODEL` | the schema in the system message, the answer in a ```json block |
| `instructor:tools:MODEL` | one tool that the endpoint is forced to call |

It is a model and not a path beside the agents, so that everything around models holds here too:
validators and corrections, usage, limits, budgets, replay, fallback. instructor makes the request
and finds the JSON in the answer. It neither validates nor retries: an answer that cannot be read is
handed to the agent loop as it is, which tells the model what is wrong, and counts it.

History is sent as plain text in every mode, since endpoints that need this path seldom take
messages of role `tool`. Where a run has several tools, its output's among them, the answer names
the one it calls (see `replies`), so agents with tools work in every mode.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, get_args

from pydantic import BaseModel
from pydantic_ai import RunContext
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import FinishReason, ModelMessage, ModelResponse, TextPart
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestParameters,
    StreamedResponse,
    check_allow_model_requests,
)
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers import Provider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from ..errors import MissingExtra, ProviderGarbled, UnknownModel
from .replies import Reply, Turn, chat, reply

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletion

__all__ = ("PREFIX", "InstructedModel", "Mode", "instructed")

PREFIX = "instructor"

Mode = Literal["json", "md_json", "tools"]

_EVERY_MODE = ModelProfile(supports_json_schema_output=True, supports_json_object_output=True)

# Names of settings here and in the chat protocol. The old name of `max_tokens` is the one that
# every compatible server knows.
_SETTINGS = {
    **{name: name for name in ("temperature", "top_p", "max_tokens", "seed", "timeout")},
    **{name: name for name in ("presence_penalty", "frequency_penalty", "logit_bias")},
    **{name: name for name in ("extra_headers", "extra_body")},
    "stop_sequences": "stop",
}

_FINISH: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "content_filter": "content_filter",
}


class _Create(Protocol):
    """A `create` that instructor has patched."""

    async def __call__(
        self, *, response_model: type[BaseModel] | None, max_retries: int, **request: Any
    ) -> Any: ...


def instructed(model_id: str, provider: Provider[AsyncOpenAI]) -> InstructedModel:
    """Return the model that a name such as `instructor:json:llama3.2` stands for.

    Args:
        model_id: `instructor:MODE:MODEL`.
        provider: The endpoint, as for any OpenAI-compatible model.

    Raises:
        UnknownModel: the name has no mode, or none of those above.
        MissingExtra: instructor is not installed.
    """
    _, _, rest = model_id.partition(":")
    mode, _, name = rest.partition(":")
    if mode not in get_args(Mode) or not name:
        raise UnknownModel(
            f"unknown model {model_id!r}: write {PREFIX}:MODE:MODEL, where MODE is one of "
            f"{', '.join(get_args(Mode))}"
        )
    return InstructedModel(name, cast(Mode, mode), provider=provider)


class InstructedModel(Model["AsyncOpenAI"]):
    """Ask an endpoint's model through instructor.

    Args:
        name: The endpoint's name of the model.
        mode: How to ask.
        provider: The endpoint. It is closed with the model's context.
        settings: Defaults for every request.

    Raises:
        MissingExtra: instructor is not installed.
    """

    def __init__(
        self,
        name: str,
        mode: Mode,
        *,
        provider: Provider[AsyncOpenAI],
        settings: ModelSettings | None = None,
    ) -> None:
        self._name = name
        self._mode: Mode = mode
        self._provider = provider
        self._instructor, self._errors = _library("instructor"), _library("instructor.core")
        super().__init__(settings=settings, profile=_EVERY_MODE)

    @property
    def model_name(self) -> str:
        return f"{PREFIX}:{self._mode}:{self._name}"

    @property
    def system(self) -> str:
        return self._provider.name

    @property
    def base_url(self) -> str:
        return self._provider.base_url

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask once.

        Raises:
            ModelHTTPError: the endpoint answered with an error status.
            ModelAPIError: it could not be reached.
            ProviderGarbled: its answer is no chat completion.
        """
        check_allow_model_requests()
        settings, params = self.prepare_request(model_settings, model_request_parameters)
        form = reply(params)
        call = _Call(
            self._provider.client.chat.completions.create,
            self._errors.IncompleteOutputException,
        )
        found = await self._ask(call, chat(messages, params, form), form, settings)
        return self._response(self._complete(call), form, found)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Hand on the whole answer as a stream: JSON is looked for once it is all there."""
        response = await self.request(messages, model_settings, model_request_parameters)
        yield CompletedStreamedResponse(
            response, model_request_parameters=model_request_parameters, replay_events=True
        )

    async def _ask(
        self, call: _Call, turns: list[Turn], form: Reply | None, settings: ModelSettings | None
    ) -> str | None:
        """Return the JSON that instructor found; None if there is none, or the call failed."""
        library = self._instructor
        create = cast(
            _Create, library.patch(create=call.create, mode=library.Mode[self._mode.upper()])
        )
        try:
            found = await create(
                response_model=_response_model(form) if form else None,
                max_retries=0,  # the agent loop corrects, and the provider's client retries
                model=self._name,
                messages=turns,
                **_sent(settings),
            )
        except (
            self._errors.IncompleteOutputException,  # cut short, or `call.error` is set
            self._errors.InstructorRetryException,  # a refusal, or no tool call
        ):
            return None
        return cast(_Found, found).text if form else None

    def _complete(self, call: _Call) -> ChatCompletion:
        """Return what the endpoint answered, or raise what it failed with."""
        if call.error is not None:
            fault = _fault(call.error, self.model_name)
            raise fault from (call.error if fault is not call.error else None)
        if call.completion is None:
            raise RuntimeError(f"instructor made no request of {self.model_name!r}; report this")
        return call.completion

    def _response(
        self, completion: ChatCompletion, form: Reply | None, found: str | None
    ) -> ModelResponse:
        choice = completion.choices[0]
        refusal, text = choice.message.refusal, found or _text(completion)
        part = form.read(text) if form else TextPart(text)
        return ModelResponse(
            parts=[part] if text and not refusal else [],
            usage=RequestUsage.extract(
                completion.model_dump(),
                provider=self._provider.name,
                provider_url=self._provider.base_url,
                provider_fallback="openai",
                api_flavor="chat",
            ),
            model_name=completion.model,
            provider_name=self._provider.name,
            provider_url=self._provider.base_url,
            provider_response_id=completion.id,
            provider_details={"refusal": refusal} if refusal else None,
            finish_reason="content_filter" if refusal else _finish(choice.finish_reason),
        )


class _Call:
    """One request of an endpoint: keeps what came of it, whatever instructor makes of that.

    Args:
        create: Makes the request.
        aborted: What to tell instructor of an error: the one kind that it hands on without writing
            it to the log, where an error's text could bring a key.
    """

    def __init__(
        self, create: Callable[..., Awaitable[Any]], aborted: Callable[[], Exception]
    ) -> None:
        self._create = create
        self._aborted = aborted
        self.completion: ChatCompletion | None = None
        self.error: Exception | None = None

    async def create(self, **request: Any) -> ChatCompletion:
        try:
            answer = await self._create(**request)
            if not getattr(answer, "choices", None):  # a string, if the body is no JSON
                kind = "no choices" if hasattr(answer, "choices") else "no chat completion"
                raise ProviderGarbled(
                    f"the endpoint's answer to {request['model']!r} holds {kind}; "
                    "see what serves that address",
                    model_name=request["model"],
                )
        except Exception as e:
            self.error = e
            raise self._aborted() from None
        completion: ChatCompletion = answer
        self.completion = completion
        return completion


class _Found(BaseModel):
    """The JSON that instructor found in an answer, not yet looked at."""

    text: str


@lru_cache(maxsize=256)
def _model_of(name: str, description: str, schema: str) -> type[BaseModel]:
    """Return a model that shows a schema and takes any text for it.

    The agent loop validates. If this failed, instructor would write the answer to the log.
    """

    def model_json_schema(cls: type[BaseModel], *args: Any, **kwargs: Any) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(schema)
        return said | {"title": name, "description": description or said.get("description", "")}

    def model_validate_json(cls: type[BaseModel], data: str, **kwargs: Any) -> BaseModel:
        return cls(text=data)

    methods = {m.__name__: classmethod(m) for m in (model_json_schema, model_validate_json)}
    return type(name, (_Found,), methods)


def _response_model(form: Reply) -> type[BaseModel]:
    """Return the model that instructor shows; one for equal schemas, since it caches by class."""
    return _model_of(form.name, form.description, json.dumps(form.schema, ensure_ascii=False))


def _sent(settings: ModelSettings | None) -> dict[str, Any]:
    given = cast(Mapping[str, Any], settings or {})
    return {_SETTINGS[name]: value for name, value in given.items() if name in _SETTINGS}


def _text(completion: ChatCompletion) -> str:
    """Return what the endpoint answered, wherever it put it."""
    message = completion.choices[0].message
    calls = (call for call in message.tool_calls or () if call.type == "function")
    return next((call.function.arguments for call in calls), None) or message.content or ""


def _finish(reason: str | None) -> FinishReason | None:
    return _FINISH.get(reason or "stop")  # Ollama sometimes names none


def _fault(error: Exception, model_name: str) -> Exception:
    """Return a failed call as the error that Pydantic AI raises for it."""
    from openai import APIStatusError, OpenAIError

    if isinstance(error, APIStatusError):
        headers = dict(error.response.headers)
        return ModelHTTPError(error.status_code, model_name, error.body, headers=headers)
    if isinstance(error, json.JSONDecodeError):
        return ProviderGarbled(
            f"the endpoint's answer to {model_name!r} is no JSON: {error}; see what serves that "
            "address",
            model_name=model_name,
        )
    return ModelAPIError(model_name, str(error)) if isinstance(error, OpenAIError) else error


def _library(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as e:
        raise MissingExtra(
            "models named 'instructor:...' need instructor, which is not installed; it holds "
            "Pydantic AI at 2.38, so give it an environment of its own: "
            "pip install 'assay-agents[instructor]'"
        ) from e
