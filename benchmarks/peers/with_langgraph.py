"""LangGraph: the agent that LangChain builds on it, with a tool and a response format."""

import sys

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from turns import INSTRUCTIONS, MODEL, Status, lookup, take_turns

agent = create_agent(
    ChatOpenAI(model=MODEL, base_url=sys.argv[1], api_key=SecretStr("none")),
    tools=[lookup],
    system_prompt=INSTRUCTIONS,
    response_format=Status,
)


async def run(prompt: str) -> object:
    """Run the agent once."""
    state = await agent.ainvoke({"messages": [{"role": "user", "content": prompt}]})
    return state["structured_response"]


if __name__ == "__main__":
    take_turns("langgraph", run)
