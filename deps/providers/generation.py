"""Generate text with a Hugging Face model, token by token under a grammar. It knows no agents."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from ..errors import ConfigError, ContextTooLong
from .replies import Reply, Turn

__all__ = ("LIBRARIES", "Answer", "Engine", "Job")

LIBRARIES = ("outlines", "torch", "transformers", "xgrammar")


@dataclass(frozen=True)
class Job:
    """One generation: what is asked, who hears of it, and whether it is still wanted.

    Attributes:
        limit: Most tokens of the answer.
        sampling: Arguments of `generate`.
        emit: Called in the worker's thread with each new piece of the answer.
        stop: When set, the generation ends before its next token.
    """

    turns: list[Turn]
    form: Reply | None
    limit: int
    seed: int | None
    sampling: Mapping[str, Any]
    emit: Callable[[str], object] | None = None
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Answer:
    """What was generated, in text and in tokens; `cut` if the limit ended it."""

    text: str
    prompt_tokens: int
    tokens: int
    cut: bool


class Engine:
    """The loaded model. Used by one thread."""

    def __init__(self, path: Path) -> None:
        self._name = path.resolve().name
        self._torch, self._outlines, self._xgrammar = (
            cast(Any, import_module(name)) for name in ("torch", "outlines", "xgrammar")
        )
        try:
            model, self._tokenizer = _loaded(path)
        except (OSError, ValueError, KeyError, RuntimeError) as e:
            raise ConfigError(f"model 'outlines:{path}' cannot be loaded: {e}") from e
        self._model = self._outlines.from_transformers(model, self._tokenizer)
        self._window: int | None = getattr(model.config, "max_position_embeddings", None)
        self._generators: dict[str, Any] = {}

    def generate(self, job: Job) -> Answer:
        prompt, tokens = self._prompt(job.turns)
        room = job.limit if self._window is None else min(job.limit, self._window - tokens)
        if room < 1:
            raise ContextTooLong(
                f"{tokens} tokens are more than local model {self._name!r} can read beside an "
                f"answer; its window is {self._window}. Send less, or name another model",
                model_name=self._name,
            )
        watch = _Watch(job, self._torch, self._tokenizer)
        with self._torch.random.fork_rng(devices=[]):  # the host's random numbers stay its own
            if job.seed is None:
                self._torch.seed()
            else:
                self._torch.manual_seed(job.seed)
            text: str = self._generator(job.form)(
                prompt, max_new_tokens=room, stopping_criteria=[watch], **job.sampling
            )
        watch.close(text)
        ended = watch.last == self._tokenizer.eos_token_id
        return Answer(text, tokens, watch.tokens, cut=watch.tokens >= room and not ended)

    def _prompt(self, turns: list[Turn]) -> tuple[Any, int]:
        """Return what Outlines is given, and the number of its tokens."""
        if not self._tokenizer.chat_template:
            text = "".join(f"{t['role']}: {t['content']}\n\n" for t in turns) + "assistant: "
            return text, len(self._tokenizer(text)["input_ids"])
        fitting = self._fitting(turns)
        text = self._rendered(fitting)
        return self._outlines.inputs.Chat(fitting), len(self._tokenizer(text)["input_ids"])

    def _fitting(self, turns: list[Turn]) -> list[Turn]:
        """Return turns that the model's template takes: some know no system messages."""
        try:
            self._rendered(turns)
        except import_module("jinja2").TemplateError:
            if len(turns) < 2 or turns[0]["role"] != "system":
                raise
            first = f"{turns[0]['content']}\n\n{turns[1]['content']}"
            return [{**turns[1], "content": first}, *turns[2:]]
        return turns

    def _rendered(self, turns: list[Turn]) -> str:
        text: str = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )
        return text

    def _generator(self, form: Reply | None) -> Any:
        schema = json.dumps(form.schema) if form else ""
        if schema not in self._generators:
            if len(self._generators) >= 64:  # a grammar is some MB; schemas can be made by callers
                self._generators.pop(next(iter(self._generators)))
            self._generators[schema] = self._compiled(form.name, schema) if form else self._free()
        return self._generators[schema]

    def _free(self) -> Any:
        return self._outlines.Generator(self._model)

    def _compiled(self, name: str, schema: str) -> Any:
        try:
            grammar = self._xgrammar.Grammar.from_json_schema(schema, any_whitespace=False)
            kind = self._outlines.types.CFG(str(grammar))
            return self._outlines.Generator(self._model, kind, backend="xgrammar")
        except (RuntimeError, ValueError) as e:
            raise ConfigError(
                f"the JSON schema of {name!r} cannot be made a grammar: {e}. Leave out what "
                "xgrammar does not know, such as look-arounds in a pattern"
            ) from e


class _Watch:
    """Counts tokens, hands on text and ends a generation that nobody waits for any more.

    transformers calls it after each token, as one of its stopping criteria.
    """

    def __init__(self, job: Job, torch: Any, tokenizer: Any) -> None:
        self._job = job
        self._torch = torch
        self._tokenizer = tokenizer
        self._sent = ""
        self._start: int | None = None
        self.tokens = 0
        self.last: int | None = None

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        if self._start is None:
            self._start = input_ids.shape[1] - 1
        self.tokens = input_ids.shape[1] - self._start
        self.last = int(input_ids[0, -1])
        stop = self._job.stop.is_set()
        if self._job.emit and not stop:
            text = self._tokenizer.decode(input_ids[0, self._start :], skip_special_tokens=True)
            if not text.endswith("\ufffd"):  # else a character of which only some bytes are there
                self._send(text)
        return input_ids.new_full((input_ids.shape[0],), stop, dtype=self._torch.bool)

    def close(self, text: str) -> None:
        """Hand on what is left of the whole text."""
        if self._job.emit and not self._job.stop.is_set():
            self._send(text)

    def _send(self, text: str) -> None:
        new = text.removeprefix(self._sent)
        if new and self._job.emit:
            self._job.emit(new)
        self._sent = text


def _loaded(path: Path) -> tuple[Any, Any]:
    """Load weights and tokenizer from a directory, and nothing from anywhere else."""
    transformers: Any = import_module("transformers")
    bars = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        # Weights in pickles could run code; so could a model's own Python files, off by default.
        model = transformers.AutoModelForCausalLM.from_pretrained(
            path, local_files_only=True, use_safetensors=True, dtype="auto"
        )
        return model, transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
    finally:
        if shown:
            bars.enable_progress_bar()
