"""`assay new`: an agent with baseline, suite, dataset and test, that pass as they are."""

import keyword
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from ...deps.errors import ConfigError
from .door import out

__all__ = ("write_agent",)

TEMPLATES = Path(__file__).parent / "templates"

DEPS = "import FENCE_RULE, BaseDeps, BaselineModel, by_name, fence, unfence"
EVALS = "import Check, MaxRequests, Suite, Trial, verdict"


@dataclass(frozen=True)
class Layout:
    """Where the parts go (template to path), and what they call one another."""

    paths: Mapping[str, str]
    words: Mapping[str, str]
    next_steps: str


IN_A_SERVICE = Layout(
    paths={
        "init": "$name/__init__.py",
        "agent": "$name/agent.py",
        "baseline": "$name/baseline.py",
        "suite": "$name/suite.py",
        "cases": "$name/cases.yaml",
        "test": "$name/test_$name.py",
    },
    words={
        "deps_above": f"from assay.deps {DEPS}\n",  # among other libraries, before pydantic
        "deps_below": "",
        "deps_from_baseline": "assay.deps",
        "gap": "\n",
        "evals_above": f"from assay.evals {EVALS}\n",
        "evals_below": "",
        "import_agent": "from . import agent as $name",
        "from_agent": ".agent",
        "from_baseline": ".baseline",
        "cases": 'Path(__file__).with_name("cases.yaml")',
        "test_agent": "from . import agent as $name",
        "test_suite": "from .suite import suite",
    },
    next_steps="pytest {folder}/$name; pytest -m eval {folder}/$name",
)

IN_ASSAY = Layout(
    paths={
        "agent": "agents/$name.py",
        "baseline": "agents/baselines/$name.py",
        "suite": "evals/suites/$name.py",
        "cases": "datasets/$name/cases.yaml",
        "test": "tests/test_$name.py",
    },
    words={
        "deps_above": "",
        "deps_below": f"\nfrom ..deps {DEPS}\n",
        "deps_from_baseline": "...deps",
        "gap": "",
        "evals_above": "",
        "evals_below": f"from ...evals {EVALS}\n",
        "import_agent": "from ...agents import $name",
        "from_agent": "..$name",
        "from_baseline": ".baselines.$name",
        "cases": 'Path(__file__).parents[2] / "datasets" / "$name" / "cases.yaml"',
        "test_agent": "from assay.agents import $name",
        "test_suite": "from assay.evals.suites.$name import suite",
    },
    next_steps='add "$name" to NAMES in evals/suites/__init__.py; make test; assay eval $name',
)


def write_agent(name: str, folder: Path) -> None:
    """Write the parts of an agent called `name` into `folder`, and say what to do next.

    In a checkout of this library they go where its own agents are, elsewhere into one package.

    Raises:
        ConfigError: the name is no identifier, or a file is there already or cannot be written.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or not name.islower():
        raise ConfigError(f"{name!r} is no lower-case Python identifier; try 'summary'")
    layout = IN_ASSAY if _is_assay(folder) else IN_A_SERVICE
    files = _files(name, folder, layout)
    if there := [str(path) for path in files if path.exists()]:
        raise ConfigError(f"{', '.join(there)} exists already; choose another name or remove it")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            out().print(f"wrote {path}", markup=False, soft_wrap=True)
    except OSError as e:
        raise ConfigError(f"cannot write the agent {name!r}: {e}") from e
    next_steps = Template(layout.next_steps).substitute(name=name).format(folder=folder)
    out().print(f"next: {next_steps}", markup=False, soft_wrap=True)


def _files(name: str, folder: Path, layout: Layout) -> dict[Path, str]:
    """Return the text of every file to write."""
    title = "".join(word.capitalize() for word in name.split("_"))
    words = {key: Template(text).substitute(name=name) for key, text in layout.words.items()}
    return {
        folder / Template(path).substitute(name=name): Template(
            (TEMPLATES / f"{template}.tmpl").read_text(encoding="utf-8")
        ).substitute(words, name=name, title=title)
        for template, path in layout.paths.items()
    }


def _is_assay(folder: Path) -> bool:
    project = folder / "pyproject.toml"
    return project.is_file() and 'name = "assay-agents"' in project.read_text(encoding="utf-8")
