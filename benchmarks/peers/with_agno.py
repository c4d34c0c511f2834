"""Agno: an agent with a tool and an output schema."""

import sys

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from turns import INSTRUCTIONS, MODEL, Status, lookup, take_turns

agent = Agent(
    model=OpenAIChat(id=MODEL, base_url=sys.argv[1], api_key="none"),
    tools=[lookup],
    instructions=INSTRUCTIONS,
    output_schema=Status,
    telemetry=False,
)


async def run(prompt: str) -> object:
    """Run the agent once."""
    return (await agent.arun(prompt)).content


if __name__ == "__main__":
    take_turns("agno", run)
