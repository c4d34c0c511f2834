"""A baseline passes through the same loop as an LLM."""

from dataclasses import dataclass

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, NativeOutput, PromptedOutput
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import ModelRequest

from assay.deps import BaseDeps, BaselineModel, Unsolvable, by_name


class Word(BaseModel):
    text: str


class Count(BaseModel):
    n: int


@dataclass(frozen=True, kw_only=True)
class Deps(BaseDeps):
    suffix: str = "!"


def baseline(deps: Deps) -> BaselineModel:
    return BaselineModel("word", lambda prompt: Word(text=prompt.split()[0] + deps.suffix))


word = Agent(
    "small",
    name="word",
    deps_type=Deps,
    output_type=Word,
    instructions="first word",
    capabilities=[by_name(baseline)],
)


async def test_it_answers_with_the_runs_own_deps_at_no_cost() -> None:
    result = await word.run("hello world", deps=Deps(suffix="?"))
    assert result.output == Word(text="hello?")
    assert result.response.model_name == "baseline:word"
    assert result.usage.requests == 1
    assert result.usage.cost == 0
    request = result.all_messages()[0]
    assert isinstance(request, ModelRequest)
    assert request.instructions == "first word"


async def test_it_streams() -> None:
    async with word.run_stream("hello world", deps=Deps()) as stream:
        outputs = [output async for output in stream.stream_output()]
    assert outputs[-1] == Word(text="hello!")


@pytest.mark.parametrize("mode", [NativeOutput, PromptedOutput])
async def test_it_answers_in_every_output_mode(
    mode: type[NativeOutput[Word]] | type[PromptedOutput[Word]],
) -> None:
    agent = Agent(BaselineModel("word", lambda prompt: Word(text=prompt)), output_type=mode(Word))
    assert (await agent.run("hi")).output == Word(text="hi")


async def test_it_answers_with_plain_text() -> None:
    agent = Agent(BaselineModel("echo", lambda prompt: prompt))
    assert (await agent.run("hi")).output == "hi"


async def test_it_chooses_the_output_tool_of_a_union_and_wraps_bare_values() -> None:
    either = Agent(BaselineModel("c", lambda prompt: Count(n=2)), output_type=[Word, Count])
    assert (await either.run("hi")).output == Count(n=2)
    numbers = Agent(BaselineModel("n", lambda prompt: [1, 2]), output_type=list[int])
    assert (await numbers.run("hi")).output == [1, 2]


async def test_a_solver_may_be_a_coroutine() -> None:
    async def solve(prompt: str) -> Word:
        return Word(text=prompt)

    for model in (BaselineModel("w", solve), BaselineModel("w", lambda p: solve(p))):
        agent = Agent(model, output_type=Word)
        assert (await agent.run("hi")).output == Word(text="hi")


async def test_no_honest_answer_is_a_typed_error() -> None:
    def solve(prompt: str) -> Word:
        raise Unsolvable(f"{prompt!r} has no words")

    with pytest.raises(Unsolvable, match="'' has no words"):
        await Agent(BaselineModel("w", solve), output_type=Word).run("")


async def test_a_validator_refuses_it_like_any_model() -> None:
    def never(word: Word) -> Word:
        raise ModelRetry("no")

    agent = Agent(BaselineModel("w", lambda p: Word(text=p)), output_type=never)
    with pytest.raises(UnexpectedModelBehavior):
        await agent.run("hi")
