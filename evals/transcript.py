"""What agents and models said to one another in one trial, as the report shows it."""

import json
from collections.abc import AsyncGenerator, Mapping, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr
from pydantic_ai import ModelMessagesTypeAdapter, RunContext

# Not exported, but `Model.request` is not told which agent asks (`request_stream` is).
from pydantic_ai._run_context import get_current_run_context
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model

from ..deps.layer import AnswerT, Asked, Layer, Opening, response_of
from ..deps.replay.requests import scrub, without_binary

__all__ = ("Transcript",)

# Of no use to a reader, or an opaque text of kilobytes. Headers are in `provider_details`.
_NOT_SHOWN: dict[str, dict[str, bool | dict[str, set[str]]]] = {
    "__all__": {
        "conversation_id": True,
        "metadata": True,
        "provider_details": True,
        "provider_url": True,
        "workspace_ref": True,
        "history_digest": True,
        "failed_attempts": True,
        "parts": {"__all__": {"metadata", "provider_details", "signature"}},
    }
}


@dataclass
class _Run:
    """One agent run as far as it has come: what its last request held, and the answer."""

    id: str
    agent: str | None
    messages: list[ModelMessage] = field(default_factory=list[ModelMessage])


class Transcript:
    """The conversations of one trial: of agents, sub-agents and judges. Calling it wraps a model.

    Put it outside a replay in `Models.wrap`, so that what is replayed is in it too.

    Args:
        secrets: Texts that must not be in it, such as the configured API key. Keys of known
            providers are recognised anyway.
    """

    def __init__(self, *, secrets: tuple[SecretStr, ...] = ()) -> None:
        self._secrets = secrets
        self._runs: dict[str, _Run] = {}
        self._dumped: list[dict[str, Any]] | None = None

    def __call__(self, model: Model) -> Model:
        """Return `model`, listened to."""
        return _Heard(model, self)

    @property
    def messages(self) -> list[dict[str, Any]] | None:
        """All messages in Pydantic AI's JSON form; None if no model was asked.

        Runs stand in the order of their first requests, each run's messages together. Every
        message says whose it is: `run_id` and, where an agent asked, its name as `agent`; this is
        what tells a judge. Left out is what stands there already: instructions that have not
        changed since the run's request before, and a history that is another run of this
        transcript. Binary data stand as hashes. A run that JSON cannot hold is one message that
        says so.
        """
        if self._runs and self._dumped is None:
            ids = self._runs.keys()
            self._dumped = [m for run in self._runs.values() for m in self._dump(run, ids)]
        return self._dumped

    def asked(self, messages: list[ModelMessage], agent: str | None) -> _Run:
        """Note a request, and return the run that it belongs to."""
        found = messages[-1].run_id if messages else None
        run_id = found or f"request-{len(self._runs) + 1}"  # no agent asked: a run of its own
        run = self._runs.setdefault(run_id, _Run(run_id, agent))
        run.messages = list(messages)  # the agent loop may go on appending to its list
        self._dumped = None
        return run

    def answered(self, run: _Run, response: ModelResponse) -> None:
        """Note the response to a run's last request."""
        run.messages.append(response)
        self._dumped = None

    def _dump(self, run: _Run, ids: Set[str]) -> list[dict[str, Any]]:
        label = {"run_id": run.id} if run.agent is None else {"run_id": run.id, "agent": run.agent}
        own = [m for m in run.messages if m.run_id == run.id or m.run_id not in ids]
        try:
            shown = _shown(own)
            text = json.dumps(shown, ensure_ascii=False)
        except (ValueError, RecursionError) as e:  # a tool has answered with a cycle
            return [{"role": "unreadable", "content": f"cannot be written as JSON: {e}", **label}]
        clean = scrub(text, (secret.get_secret_value() for secret in self._secrets))
        if clean != text:
            shown = json.loads(clean)
        return [message | label for message in shown]


class _Heard(Layer):
    """Tells a transcript of each request and response; a request that fails has none."""

    def __init__(self, wrapped: Model, transcript: Transcript) -> None:
        super().__init__(wrapped)
        self._transcript = transcript

    @asynccontextmanager
    async def around(self, asked: Asked, opening: Opening[AnswerT]) -> AsyncGenerator[AnswerT]:
        context = asked.run_context or get_current_run_context()
        run = self._transcript.asked(asked.messages, _agent(context))
        async with opening() as answer:
            try:
                yield answer
            finally:  # of a stream that breaks off, what had come
                self._transcript.answered(run, response_of(answer))


def _agent(context: RunContext[Any] | None) -> str | None:
    return context.agent.name if context is not None and context.agent is not None else None


def _shown(messages: list[ModelMessage]) -> list[dict[str, Any]]:
    """Return messages as JSON data, without what is empty or stands in an earlier one."""
    dumped: list[dict[str, Any]] = ModelMessagesTypeAdapter.dump_python(
        messages,
        mode="json",
        exclude=_NOT_SHOWN,
        exclude_none=True,
        fallback=repr,
        warnings=False,
    )
    instructions: str | None = None
    for message in dumped:
        if message["kind"] == "request":
            if message.get("instructions") == instructions:
                message.pop("instructions", None)
            else:
                instructions = message.get("instructions")
        _tidy(message)
    return dumped


def _tidy(message: dict[str, Any]) -> None:
    if message.get("state") == "complete":
        del message["state"]
    if "usage" in message:
        message["usage"] = _told(message["usage"])
    for part in message["parts"]:
        if "content" in part:
            part["content"] = without_binary(part["content"])


def _told(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the kinds of tokens of which there were none."""
    return {name: value for name, value in usage.items() if value}
