"""The whole layer: models by settings, typed faults, circuit, limits, retries and accounting.

`python layer.py URL TRANSPORT`
"""

import sys
from dataclasses import replace

from pydantic import TypeAdapter
from pydantic_ai import Agent
from pydantic_ai.usage import RunUsage, UsageLimits
from turns import INSTRUCTIONS, MODEL, Status, lookup, take_turns

from assay.deps import BaseDeps
from assay.deps.models import by_name
from assay.deps.providers import Transport
from assay.deps.resilience.fallback import Trail
from assay.deps.settings import Settings

transport = TypeAdapter[Transport](Transport).validate_python(sys.argv[2])
# Limits that are counted and never reached: what is measured is the counting.
settings = Settings(
    model=MODEL,
    base_url=sys.argv[1],
    max_concurrency=1_000,
    requests_per_minute=10_000_000,
    tokens_per_minute=10_000_000_000,
    transport=transport,
)
deps = BaseDeps(models=settings.models(), limits=UsageLimits(request_limit=5, tool_calls_limit=5))
agent = Agent(
    "small",
    name="orders",
    deps_type=BaseDeps,
    output_type=Status,
    instructions=INSTRUCTIONS,
    capabilities=[by_name()],
)
agent.tool_plain(lookup)


async def run(prompt: str) -> Status:
    """Run the agent once, within a budget, and note who answered."""
    own = replace(deps.noting(Trail()), usage=RunUsage())
    result = await agent.run(prompt, deps=own, usage=own.usage, usage_limits=own.limits)
    return result.output


if __name__ == "__main__":
    take_turns("assay-agents", run)
