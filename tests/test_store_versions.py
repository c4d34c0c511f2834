"""Older stores are brought up to date, and what cannot be used is named."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from assay.deps.errors import ConfigError, MissingExtra
from assay.evals.outcome import TrialResult
from assay.evals.store.database import Record, RunStore, StoreTooNew

VERSION_1 = """
CREATE TABLE schema_version (version INTEGER NOT NULL);
INSERT INTO schema_version VALUES (1);
CREATE TABLE run (id VARCHAR(64) NOT NULL PRIMARY KEY, created VARCHAR(40) NOT NULL,
  finished VARCHAR(40), status VARCHAR(16) NOT NULL, model TEXT NOT NULL, trials INTEGER NOT NULL,
  suites TEXT NOT NULL, identity TEXT NOT NULL, options TEXT NOT NULL);
CREATE INDEX run_created ON run (created);
CREATE TABLE trial (run VARCHAR(64) NOT NULL, suite VARCHAR(255) NOT NULL,
  case_key VARCHAR(64) NOT NULL, trial INTEGER NOT NULL, case_name TEXT NOT NULL,
  finished VARCHAR(40) NOT NULL, model TEXT NOT NULL, ok BOOLEAN NOT NULL,
  duration DOUBLE NOT NULL, requests INTEGER NOT NULL, input_tokens BIGINT NOT NULL,
  output_tokens BIGINT NOT NULL, cost DOUBLE, trace_id VARCHAR(32), replayed BOOLEAN NOT NULL,
  tags TEXT NOT NULL, outcomes TEXT NOT NULL, failure TEXT, output TEXT NOT NULL,
  PRIMARY KEY (run, suite, case_key, trial));
INSERT INTO run VALUES ('20250101-old', '2025-01-01T00:00:00+00:00', NULL, 'done', 'm', 1, '["s"]',
  '{}', '{}');
INSERT INTO trial VALUES ('20250101-old', 's', '00', 0, 'c', '2025-01-01T00:00:00+00:00', 'm', 1,
  0.5, 1, 2, 3, NULL, NULL, 0, '[]', '[]', NULL, '"kept"');
"""


def columns(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as raw:
        return sorted(raw.execute("SELECT name, type FROM pragma_table_info('trial')"))


def test_a_store_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    old, fresh = tmp_path / "old.db", tmp_path / "fresh.db"
    with closing(sqlite3.connect(old)) as raw:
        raw.executescript(VERSION_1)
    with closing(RunStore(old)) as store:
        (kept,) = store.results("20250101-old")
        assert (kept.result.output, kept.messages) == ("kept", None)
        result = TrialResult(case="c", trial=1, model="m")
        new = Record(suite="s", case_key="00", result=result, messages=[{"kind": "request"}])
        store.add("20250101-old", [new])
    with closing(RunStore(old)) as store:  # once more: nothing is left to do
        assert [r.messages for r in store.results("20250101-old")] == [
            None,
            [{"kind": "request"}],
        ]
    RunStore(fresh).close()
    assert columns(old) == columns(fresh)


def test_a_store_from_the_future_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    RunStore(path).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE schema_version SET version = 99")
        raw.commit()
    with pytest.raises(StoreTooNew, match=r"version 99.*upgrade"):
        RunStore(path)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.write_text("not a database, but long enough to look like a file of some kind\n" * 40)
    with pytest.raises(ConfigError, match=r"runs\.db.*not a database"):
        RunStore(path)


@pytest.mark.parametrize("url", ["nonsense://x/y", "postgresql://u:hunter2@127.0.0.1:1/x"])
def test_an_unusable_url_is_told_without_its_password(url: str) -> None:
    with pytest.raises((ConfigError, MissingExtra)) as caught:
        RunStore(url)
    assert "hunter2" not in str(caught.value)
