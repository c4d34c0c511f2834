"""OpenAI Agents: an agent with a tool and an output type, on the chat API, untraced."""

import sys

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI
from turns import INSTRUCTIONS, MODEL, Status, lookup, take_turns

set_tracing_disabled(True)
client = AsyncOpenAI(base_url=sys.argv[1], api_key="none")
agent = Agent(
    name="orders",
    instructions=INSTRUCTIONS,
    model=OpenAIChatCompletionsModel(MODEL, client),
    tools=[function_tool(lookup)],
    output_type=Status,
)


async def run(prompt: str) -> object:
    """Run the agent once."""
    return (await Runner.run(agent, prompt)).final_output


if __name__ == "__main__":
    take_turns("openai-agents", run)
