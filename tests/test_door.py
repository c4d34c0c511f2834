"""The doors show what they say they show, and importing them does next to nothing."""

import importlib
import subprocess
import sys

import pytest

QUIET = """
import os, socket, sys, logging
import assay.{package}
seen = {{name.partition(".")[0] for name in sys.modules}}
heavy = {{
    "anthropic", "dateparser", "mcp", "openai", "psycopg", "pydantic_ai_harness", "pypdf", "sklearn",
    "spellchecker", "sqlalchemy", "statsmodels", "symspellpy",
}}
assert not seen & heavy, seen & heavy
assert not logging.getLogger().handlers
from opentelemetry import trace
assert "Proxy" in type(trace.get_tracer_provider()).__name__
"""


@pytest.mark.parametrize("package", ["agents", "deps", "tools", "evals"])
def test_all_is_what_is_there(package: str) -> None:
    module = importlib.import_module(f"assay.{package}")
    assert list(module.__all__) == sorted(
        module.__all__, key=lambda name: (name != name.upper(), name[0].islower(), name)
    )
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError):
        _ = module.no_such_name


@pytest.mark.parametrize("package", ["agents", "evals.suites"])
def test_importing_builds_no_client_and_configures_nothing(package: str) -> None:
    code = QUIET.format(package=package)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
