"""A local Hugging Face model that can only write what fits: Outlines, as a Pydantic AI model.

`outlines:PATH` names a directory with a model's `config.json`, safetensors weights and tokenizer.
Where a run wants typed output or a tool call, tokens that would break its JSON schema are never
drawn, so a small model gives valid JSON too. The grammar is xgrammar's, since Outlines' own
ignores the bounds of numbers. It allows no white space to choose: in it, small models lose
themselves until their tokens are spent.

What a grammar cannot hold (a validator, a format, a token limit in the middle of an object) the
agent loop checks, as for any model.

One generation runs at a time, in a thread of the model's own, so the event loop is free. A run
that is cancelled, or whose stream is left, ends before the next token. The model is loaded by its
first request and freed with the object.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    FinishReason,
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from ..clock import utc_now
from ..errors import AssayError, MissingExtra, ProviderDown, UnknownModel
from .generation import LIBRARIES, Answer, Engine, Job
from .replies import Reply, Turn, chat, reply

__all__ = ("PREFIX", "ConstrainedModel", "constrained")

PREFIX = "outlines"

MAX_TOKENS = 1024
"""Tokens of an answer for which a run sets no `max_tokens`."""

_EVERY_MODE = ModelProfile(supports_json_schema_output=True, supports_json_object_output=True)


def constrained(model_id: str) -> ConstrainedModel:
    """Return the model that a name such as `outlines:models/tiny` stands for.

    Raises:
        UnknownModel: there is no model directory.
        MissingExtra: Outlines, or what it needs, is not installed.
    """
    return ConstrainedModel(Path(model_id.partition(":")[2]))


class ConstrainedModel(Model[None]):
    """Generate with a local model, under a grammar where the output has a schema.

    Of the settings, `max_tokens`, `temperature` (0 for the likeliest token), `top_p` and `seed` are
    used; what is not set is as the model's `generation_config.json` says. A seed gives the same
    answer again on the same machine.

    Args:
        path: The model's directory.
        settings: Defaults for every request.

    Raises:
        UnknownModel: there is no model directory.
        MissingExtra: Outlines, or what it needs, is not installed.
    """

    def __init__(self, path: Path, *, settings: ModelSettings | None = None) -> None:
        if missing := [name for name in LIBRARIES if find_spec(name) is None]:
            raise MissingExtra(
                f"model '{PREFIX}:{path}' needs {', '.join(missing)}, which "
                f"{'is' if len(missing) == 1 else 'are'} not installed: "
                "pip install 'assay-agents[outlines]'"
            )
        if not (path / "config.json").is_file():
            raise UnknownModel(
                f"unknown model '{PREFIX}:{path}': there is no config.json in that directory; name "
                "one that a Hugging Face model was saved to"
            )
        self._path = path
        self._engine: Engine | None = None
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=PREFIX)
        super().__init__(settings=settings, profile=_EVERY_MODE)

    @property
    def model_name(self) -> str:
        return self._path.resolve().name  # replay must find its recordings on another machine

    @property
    def system(self) -> str:
        return PREFIX

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Generate an answer.

        Raises:
            ContextTooLong: the messages leave no room for an answer.
            ConfigError: the model cannot be loaded, or a schema cannot be made a grammar.
            ProviderDown: the generation failed.
        """
        settings, params = self.prepare_request(model_settings, model_request_parameters)
        job = _job(messages, params, settings)
        answer = await self._answer(job)
        part = job.form.read(answer.text) if job.form else TextPart(answer.text)
        return ModelResponse(
            parts=[part],
            usage=_usage(answer),
            model_name=self.model_name,
            provider_name=self.system,
            finish_reason=_finish(answer, part),
        )

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Generate an answer and give it as it is written.

        An answer that has to choose between tools is given once it is whole.
        """
        settings, params = self.prepare_request(model_settings, model_request_parameters)
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[str | None]()

        def emit(text: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, text)

        job = _job(messages, params, settings, emit)
        answer = asyncio.create_task(self._answer(job))
        answer.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            yield _Stream(
                model_request_parameters=params,
                form=job.form,
                pieces=pieces,
                answer=answer,
                name=self.model_name,
                started=utc_now(),
            )
        finally:
            answer.cancel()
            # A failure was raised to who read the stream to its end; nobody else asked for it.
            await asyncio.gather(answer, return_exceptions=True)

    async def _answer(self, job: Job) -> Answer:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._worker, self._generate, job)
        finally:
            job.stop.set()

    def _generate(self, job: Job) -> Answer:
        """Generate, in the worker's thread: it alone touches the engine."""
        if self._engine is None:
            self._engine = Engine(self._path)
        try:
            return self._engine.generate(job)
        except AssayError:
            raise
        except Exception as e:
            raise ProviderDown(
                f"local model {self.model_name!r} failed: {type(e).__name__}: {e}",
                model_name=self.model_name,
            ) from e


def _job(
    messages: list[ModelMessage],
    params: ModelRequestParameters,
    settings: ModelSettings | None,
    emit: Callable[[str], object] | None = None,
) -> Job:
    given = cast(Mapping[str, Any], settings or {})
    form = reply(params)
    sampling = {name: given[name] for name in ("temperature", "top_p") if name in given}
    if "temperature" in sampling:
        sampling["do_sample"] = sampling["temperature"] > 0
        if not sampling["do_sample"]:
            del sampling["temperature"]  # transformers takes no 0
    return Job(
        turns=_with_schema(chat(messages, params, form), form),
        form=form,
        limit=given.get("max_tokens") or MAX_TOKENS,
        seed=given.get("seed"),
        sampling=sampling,
        emit=emit,
    )


def _with_schema(turns: list[Turn], form: Reply | None) -> list[Turn]:
    """Tell the model what it will write: else its grammar gives nonsense that fits."""
    if form is None:
        return turns
    schema = json.dumps(form.schema, ensure_ascii=False)
    said = f"Answer with one JSON object that follows this JSON schema:\n{schema}"
    if form.description:
        said = f"{form.description}\n{said}"
    if turns and turns[0]["role"] == "system":
        return [{**turns[0], "content": f"{turns[0]['content']}\n\n{said}"}, *turns[1:]]
    return [{"role": "system", "content": said}, *turns]


def _usage(answer: Answer) -> RequestUsage:
    return RequestUsage(
        input_tokens=answer.prompt_tokens, output_tokens=answer.tokens, cost=Decimal(0)
    )


def _finish(answer: Answer, part: TextPart | ToolCallPart) -> FinishReason:
    if answer.cut:
        return "length"
    return "tool_call" if isinstance(part, ToolCallPart) else "stop"


@dataclass
class _Stream(StreamedResponse):
    form: Reply | None
    pieces: asyncio.Queue[str | None]
    answer: asyncio.Task[Answer]
    name: str
    started: datetime

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        whole = self.form is not None and bool(self.form.tools) and self.form.only is None
        while (piece := await self.pieces.get()) is not None:
            if not whole:
                for event in self._events(piece):
                    yield event
        answer = await self.answer
        part = self.form.read(answer.text) if self.form else TextPart(answer.text)
        if whole:
            yield self._parts_manager.handle_part(vendor_part_id=0, part=part)
        self._usage = _usage(answer)
        self.finish_reason = _finish(answer, part)

    def _events(self, piece: str) -> list[ModelResponseStreamEvent]:
        if self.form is None or self.form.only is None:
            return list(self._parts_manager.handle_text_delta(vendor_part_id=0, content=piece))
        first = self._parts_manager.get_parts() == []
        event = self._parts_manager.handle_tool_call_delta(
            vendor_part_id=0, tool_name=self.form.only.name if first else None, args=piece
        )
        return [] if event is None else [event]

    async def close_stream(self) -> None:
        self.answer.cancel()

    @property
    def model_name(self) -> str:
        return self.name

    @property
    def provider_name(self) -> str:
        return PREFIX

    @property
    def provider_url(self) -> None:
        return None

    @property
    def timestamp(self) -> datetime:
        return self.started
