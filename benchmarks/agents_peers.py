"""Who takes part in `agents.py`: each a process of its own, in an environment of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "benchmarks" / "peers"
UV = ROOT / ".tools" / "bin" / "uv"
LOCK = ROOT / ".ci" / "locks" / "newest.txt"

Turn = dict[str, float]


class Missing(Exception):
    """A peer cannot take part; the message says why."""


@dataclass(frozen=True)
class Peer:
    """One way to run the agent.

    Attributes:
        name: For people.
        script: What runs it.
        needs: What its environment is made of; nothing means this environment.
        arguments: What the script is given after the server's address.
    """

    name: str
    script: str
    needs: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()

    def python(self) -> Path:
        """Return the Python that runs it; its environment is made unless it is there already.

        Raises:
            Missing: it cannot be made.
        """
        if not self.needs:
            return Path(sys.executable)
        place = ROOT / ".venv-peers" / Path(self.script).stem
        python, ready = place / "bin" / "python", place / ".ready"
        # What is common to all, such as `openai` and `pydantic`, is of one version everywhere.
        wanted = " ".join((*self.needs, "--constraint", str(LOCK)))
        if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
            _uv("venv", "--clear", "--python", sys.executable, str(place))
            _uv("pip", "install", "--compile-bytecode", "--python", str(python), *wanted.split())
            ready.write_text(wanted, encoding="utf-8")
        return python


def _uv(*arguments: str) -> None:
    if not UV.exists():
        raise Missing(f"no {UV.relative_to(ROOT)} to make its environment with; make install")
    done = subprocess.run([UV, "--quiet", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"its environment cannot be made: {' '.join(done.stderr.split())[-200:]}")


def peers() -> tuple[Peer, ...]:
    """Return who takes part, bare Pydantic AI, of the version that is installed here, first."""
    bare = f"pydantic-ai-slim[openai]=={version('pydantic-ai-slim')}"
    graph = ("langgraph==1.2.22", "langchain==1.4.7", "langchain-openai==1.7.3")
    return (
        Peer("Pydantic AI, bare", "bare.py", (bare,)),
        Peer("Assay, sdk", "layer.py", arguments=("sdk",)),
        Peer("Assay, lean", "layer.py", arguments=("lean",)),
        Peer("Agno", "with_agno.py", ("agno==3.1.10", "openai")),
        Peer("LangGraph", "with_langgraph.py", graph),
        Peer("OpenAI Agents", "with_openai_agents.py", ("openai-agents==0.24.0",)),
    )


@dataclass
class Running:
    """A process that answers a line with a line of JSON, and the turns that it has done."""

    process: subprocess.Popen[str]
    errors: IO[str]
    version: str = ""
    alone: list[Turn] = field(default_factory=list[Turn])
    together: list[Turn] = field(default_factory=list[Turn])

    def turn(self, runs: int, at_once: int) -> Turn:
        """Do so many runs, and return what they cost.

        Raises:
            Missing: it failed.
        """
        assert self.process.stdin
        self.process.stdin.write(f"{runs} {at_once}\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        """Return the next line that it says."""
        assert self.process.stdout
        if line := self.process.stdout.readline():
            said = json.loads(line)
            if "failed" in line:
                raise Missing(said["failed"])
            return said
        self.errors.seek(0)
        raise Missing((self.errors.read().strip() or "it ended without a word").splitlines()[-1])


@contextmanager
def running(python: Path, script: str, *arguments: str) -> Generator[Running]:
    """Run a script until the end of the block, which it sees as the end of its stdin."""
    pipe = subprocess.PIPE
    own = {**os.environ, "PYTHONPATH": str(SCRIPTS)}  # what the scripts have in common
    command = [str(python), str(SCRIPTS / script), *arguments]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=errors, text=True, env=own
        ) as process,
    ):
        try:
            yield Running(process, errors)
        finally:
            process.communicate()
