"""A local model under a grammar: random weights, so only the grammar can make an answer valid."""

import asyncio
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, field_validator
from pydantic_ai import Agent, NativeOutput, PromptedOutput
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, ToolCallPart
from pydantic_ai.settings import ModelSettings

from assay.agents import extract
from assay.deps.errors import ConfigError, ContextTooLong, MissingExtra, NotFound, UnknownModel
from assay.deps.providers import constrained as constrained_module
from assay.deps.providers.constrained import ConstrainedModel, constrained
from assay.deps.providers.generation import LIBRARIES
from assay.deps.replay.recordings import Recordings
from assay.deps.replay.tape import Replay

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + TEMPLATE
)


class Risk(BaseModel):
    """A risk."""

    label: Literal["low", "medium", "high"]
    score: int = Field(ge=0, le=9)
    code: str = Field(pattern=r"^[a-z]{1,8}$")


def save_random_model(path: Path, template: str | None = TEMPLATE, window: int = 8192) -> None:
    """Save a llama of some ten thousand random weights, with a tokenizer of bytes."""
    transformers: Any = pytest.importorskip("transformers")
    tokenizers: Any = pytest.importorskip("tokenizers")
    level = tokenizers.pre_tokenizers.ByteLevel
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = level(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=list(special.values()),
        initial_alphabet=level.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(['{"label": "low", "score": 1, "code": "a"}'] * 3, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **special)
    tokenizer.chat_template = template
    pytest.importorskip("torch").manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=window,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in LIBRARIES:
        pytest.importorskip(name, reason=f"{name} is not installed: pip install '.[outlines]'")
    pytest.importorskip("torch").set_num_threads(
        1
    )  # several wait for one another on a busy machine
    path = tmp_path_factory.mktemp("models") / "tiny"
    save_random_model(path)
    return path


@pytest.fixture(scope="session")
def tiny(home: Path) -> ConstrainedModel:
    return ConstrainedModel(home, settings={"temperature": 1.0, "max_tokens": 400})


def seeded(seed: int, **more: Any) -> ModelSettings:
    return ModelSettings(seed=seed, **more)


@pytest.mark.parametrize("mode", ["tool", "native", "prompted"])
async def test_noise_is_valid_output_in_every_mode(tiny: ConstrainedModel, mode: str) -> None:
    output = {"tool": Risk, "native": NativeOutput(Risk), "prompted": PromptedOutput(Risk)}[mode]
    agent = Agent(tiny, output_type=output, retries=0)
    runs = [await agent.run("assess", model_settings=seeded(n)) for n in range(10)]
    assert all(isinstance(run.output, Risk) for run in runs)
    assert len({run.output.code for run in runs}) > 1


async def test_a_seed_gives_the_same_answer_again(tiny: ConstrainedModel) -> None:
    torch: Any = pytest.importorskip("torch")
    agent = Agent(tiny, output_type=Risk)
    before = torch.get_rng_state()
    first = await agent.run("assess", model_settings=seeded(3))
    assert torch.equal(before, torch.get_rng_state())  # the host's own numbers are untouched
    again = await agent.run("assess", model_settings=seeded(3))
    other = await agent.run("assess", model_settings=seeded(4))
    assert first.output == again.output != other.output


async def test_temperature_0_takes_the_likeliest(tiny: ConstrainedModel) -> None:
    agent = Agent(tiny, output_type=Risk)
    cold = [await agent.run("assess", model_settings=seeded(n, temperature=0.0)) for n in (1, 2)]
    assert cold[0].output == cold[1].output


async def test_tokens_are_the_tokenizers(tiny: ConstrainedModel, home: Path) -> None:
    transformers: Any = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(home)
    result = await Agent(tiny, output_type=NativeOutput(Risk)).run(
        "assess", model_settings=seeded(1)
    )
    (part,) = result.response.parts
    assert isinstance(part, TextPart)
    expected = len(tokenizer(part.content)["input_ids"])
    # Random weights may write a text in other pieces than the tokenizer would, never in fewer.
    assert expected <= result.usage.output_tokens - 1 <= len(part.content)
    assert result.usage.input_tokens > 50
    assert result.usage.cost == 0
    assert result.response.finish_reason == "stop"


async def test_bounds_hold_where_the_default_grammar_forgets_them(tiny: ConstrainedModel) -> None:
    class Score(BaseModel):
        score: int = Field(ge=7, le=12)

    agent = Agent(tiny, output_type=Score, retries=0)
    found = {(await agent.run("?", model_settings=seeded(n))).output.score for n in range(20)}
    assert len(found) > 1
    assert found <= set(range(7, 13))


async def test_what_a_grammar_cannot_hold_goes_back(tiny: ConstrainedModel) -> None:
    seen: list[str] = []

    class Late(Risk):
        @field_validator("code")
        @classmethod
        def _second_thoughts(cls, code: str) -> str:
            seen.append(code)
            if len(seen) < 3:
                raise ValueError("think again")
            return code

    result = await Agent(tiny, output_type=Late, retries=2).run("?", model_settings=seeded(1))
    assert result.usage.requests == len(seen) == 3
    assert "think again" in str(result.all_messages()[-3])


async def test_it_chooses_between_tools_until_it_is_done(tiny: ConstrainedModel) -> None:
    agent = Agent(tiny, output_type=Risk, retries=0)
    calls: list[int] = []

    @agent.tool_plain
    def look(page: Literal[1, 2, 3]) -> str:
        """Look a page up."""
        calls.append(page)
        return "nothing"

    for seed in range(4):
        async with agent.iter("assess", model_settings=seeded(seed)) as run:
            async for _ in run:
                if run.usage.requests > 2:  # a seed chooses alike each time, perhaps for ever
                    break
    assert calls
    assert set(calls) <= {1, 2, 3}


async def test_text_or_a_tool(tiny: ConstrainedModel) -> None:
    agent = Agent(tiny, output_type=str, retries=3)
    agent.tool_plain(do_it)
    kinds: set[str] = set()
    for seed in range(6):
        async with agent.iter("hi", model_settings=seeded(seed, max_tokens=60)) as run:
            async for node in run:
                if response := getattr(node, "model_response", None):
                    kinds |= {type(part).__name__ for part in response.parts}
                    break
    assert "ToolCallPart" in kinds


def do_it() -> str:
    """Do it."""
    return "done"


async def test_text_is_streamed_piece_by_piece(tiny: ConstrainedModel) -> None:
    agent = Agent(tiny, output_type=str)
    settings = seeded(5, max_tokens=40)
    whole = (await agent.run("hello", model_settings=settings)).response.parts
    async with agent.run_stream("hello", model_settings=settings) as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 5
    assert [TextPart] == [type(part) for part in whole]
    assert "".join(pieces) == "".join(getattr(part, "content", "") for part in whole)
    assert stream.usage.output_tokens == 40
    assert stream.response.finish_reason == "length"


async def test_tool_output_is_streamed(tiny: ConstrainedModel) -> None:
    agent = Agent(tiny, output_type=Risk)
    events: list[object] = []
    async with agent.run_stream_events("assess", model_settings=seeded(2)) as stream:
        events = [event async for event in stream]
    starts = [e.part for e in events if isinstance(e, PartStartEvent)]
    assert [ToolCallPart] == [type(part) for part in starts]
    assert sum(isinstance(event, PartDeltaEvent) for event in events) > 5
    plain = await agent.run("assess", model_settings=seeded(2))
    assert getattr(events[-1], "result").output == plain.output  # noqa: B009


class Long(BaseModel):
    """Takes the grammar more tokens than a test can wait for."""

    ones: list[Literal[1]] = Field(min_length=7000)


async def test_a_stream_that_is_left_ends_the_generation(tiny: ConstrainedModel) -> None:
    await read(tiny, asyncio.Event(), stop=True)
    await assert_free(tiny)


async def test_a_cancelled_run_ends_the_generation(tiny: ConstrainedModel) -> None:
    started = asyncio.Event()
    run = asyncio.create_task(read(tiny, started))
    async with asyncio.timeout(30):
        await started.wait()
    waiting = asyncio.create_task(read(tiny, asyncio.Event()))  # for its turn
    await asyncio.sleep(0)
    run.cancel()
    waiting.cancel()
    ends = await asyncio.gather(run, waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
    await assert_free(tiny)


async def read(model: ConstrainedModel, started: asyncio.Event, *, stop: bool = False) -> None:
    agent = Agent(model, output_type=NativeOutput(Long), model_settings={"max_tokens": 8000})
    async with agent.run_stream_events("hi") as events:
        async for event in events:
            if isinstance(event, PartDeltaEvent):
                started.set()
                if stop:
                    break


async def assert_free(model: ConstrainedModel) -> None:
    async with asyncio.timeout(5):
        await Agent(model, output_type=str).run("hi", model_settings={"max_tokens": 2})


async def test_the_event_loop_is_free_meanwhile(tiny: ConstrainedModel) -> None:
    run = asyncio.create_task(
        Agent(tiny, output_type=str).run("hi", model_settings=seeded(5, max_tokens=20))
    )
    turns = 0
    while not run.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 20


async def test_an_answer_cut_short_is_not_an_answer(tiny: ConstrainedModel) -> None:
    with pytest.raises(UnexpectedModelBehavior):
        await Agent(tiny, output_type=Risk).run("?", model_settings=seeded(1, max_tokens=5))


@pytest.mark.parametrize("template", [None, NO_SYSTEM])
async def test_models_without_a_template_or_system_messages_work(
    tiny: ConstrainedModel, tmp_path: Path, template: str | None
) -> None:
    save_random_model(tmp_path / "m", template)
    model = ConstrainedModel(tmp_path / "m", settings=tiny.settings)
    agent = Agent(model, output_type=Risk, instructions="Be brief.", retries=0)
    assert isinstance((await agent.run("?", model_settings=seeded(1))).output, Risk)


async def test_more_than_the_window_is_too_long(tiny: ConstrainedModel, tmp_path: Path) -> None:
    save_random_model(tmp_path / "m", window=32)
    with pytest.raises(ContextTooLong, match="its window is 32"):
        await Agent(ConstrainedModel(tmp_path / "m")).run("a long story " * 20)
    assert tiny.settings


async def test_a_schema_without_a_grammar_is_named(tiny: ConstrainedModel) -> None:
    class Odd(BaseModel):
        name: str = Field(json_schema_extra={"pattern": "(?<=a)b"})

    with pytest.raises(ConfigError, match="'final_result' cannot be made a grammar"):
        await Agent(tiny, output_type=Odd).run("?")


async def test_a_directory_that_is_no_model_is_told(home: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        await Agent(ConstrainedModel(tmp_path)).run("hi")
    with pytest.raises(UnknownModel, match=r"no config\.json"):
        constrained(f"outlines:{home / 'nowhere'}")


async def test_an_answer_is_replayed(tiny: ConstrainedModel, tmp_path: Path) -> None:
    agent = Agent(output_type=Risk)
    recordings = Recordings(tmp_path)
    fresh = await agent.run("?", model=Replay(write=recordings).tape("case", 0)(tiny))
    tape = Replay(write=recordings, mode="only").tape("case", 0)
    assert (await agent.run("?", model=tape(tiny))).output == fresh.output
    assert tape.all_replayed


async def test_extract_takes_no_noise_for_an_answer(home: Path) -> None:
    short = ConstrainedModel(home, settings={"max_tokens": 120, "seed": 1})
    with pytest.raises((UnexpectedModelBehavior, NotFound)):  # unproved, cut short, or left blank
        await extract.run("Order A-17", Risk, extract.Deps(), model=short)


def test_it_is_named_by_its_directory(tiny: ConstrainedModel, home: Path) -> None:
    assert tiny.model_id == "outlines:tiny"
    assert constrained(f"outlines:{home}").model_id == "outlines:tiny"


def test_without_outlines_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constrained_module, "find_spec", dict[str, object]().get)
    with pytest.raises(MissingExtra, match=r"outlines, torch.* are not .*assay-agents\[outlines\]"):
        constrained(f"outlines:{tmp_path}")
