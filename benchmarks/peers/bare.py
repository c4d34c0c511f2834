"""Pydantic AI by itself, as its documentation shows it."""

import sys

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from turns import INSTRUCTIONS, MODEL, Status, lookup, take_turns

model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=sys.argv[1], api_key="none"))
agent = Agent(model, output_type=Status, instructions=INSTRUCTIONS)
agent.tool_plain(lookup)


async def run(prompt: str) -> Status:
    """Run the agent once."""
    return (await agent.run(prompt)).output


if __name__ == "__main__":
    take_turns("pydantic-ai-slim", run)
