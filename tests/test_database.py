"""A database's place is told without what opens it."""

from pathlib import Path

import pytest
from sqlalchemy.exc import ArgumentError

from assay.deps.database import open_engine, said, shown_place
from assay.deps.errors import ConfigError
from assay.deps.idempotency.sql import SqlActs


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:hunter2@db/shop", "postgresql://ada:***@db/shop"),
        ("postgresql://ada:hun@ter2@db/shop", "postgresql://ada:***@db/shop"),
        ("postgresql://ada@db/shop?password=hunter2&sslmode=require", "postgresql://ada@db/shop"),
        ("postgresql//ada:hunter2@db/shop", "postgresql//ada:***@db/shop"),
        ("postgresql://db/shop", "postgresql://db/shop"),
        (Path("runs.db"), "runs.db"),
    ],
)
def test_a_place_is_shown_without_its_password(url: str | Path, shown: str) -> None:
    assert shown_place(url)[0] == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:hunter2@db:notaport/shop",
        "nosuch://ada:hunter2@db/shop?password=hunter2",
        "postgresql://ada:hunter2@127.0.0.1:9/shop?connect_timeout=1",
    ],
)
def test_no_error_holds_a_password(url: str) -> None:
    with pytest.raises(ConfigError) as error:
        SqlActs(url)
    told: BaseException | None = error.value
    while told is not None:
        assert "hunter2" not in repr(told)
        told = told.__cause__
    assert "cannot be used" in str(error.value)


def test_what_a_driver_repeats_is_taken_out(tmp_path: Path) -> None:
    url = "postgresql://ada:hun%20ter@db/shop"
    with pytest.raises(ConfigError, match=r"no such user: ada with \*\*\*"), said(url, "the store"):
        raise ArgumentError("no such user: ada with hun ter")


def test_a_file_is_opened_where_it_is(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "deep" / "a.db", "the store")
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    engine.dispose()
