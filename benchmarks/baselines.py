"""How good the baselines are on public data: `python benchmarks/baselines.py [AGENT ...]`.

The data is not part of this repository: it is looked for in `../shared/data` beside the checkout,
and what is not there is skipped with a line that says so.
"""

import runpy
import sys
from pathlib import Path

AGENTS = ("triage", "extract", "copy_editor", "judge", "answer", "guard")

for agent in sys.argv[1:] or AGENTS:
    if agent not in AGENTS:
        sys.exit(f"no baseline of {agent!r} is measured here; there are {', '.join(AGENTS)}")
    print(f"== {agent} (baseline, not an LLM)", flush=True)
    script = Path(__file__).with_name(f"baselines_{agent}.py")
    arguments, sys.argv = sys.argv, [str(script)]
    runpy.run_path(str(script), run_name="__main__")
    sys.argv = arguments
