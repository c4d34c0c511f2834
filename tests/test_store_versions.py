"""Older stores are brought up to date, and what cannot be used is named."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from assay.deps.errors import ConfigError, MissingExtra
from assay.evals.outcome import TrialResult
from assay.evals.store.database import Content, Record, RunStore, StoreTooNew

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
INSERT INTO trial VALUES ('20250101-old', 's', '00', 0, 'c', '2025-01-01T00:00:00+00:00', 'm', TRUE,
  0.5, 1, 2, 3, NULL, NULL, FALSE, '[]', '[]', NULL, '"kept"');
"""


VERSION_3 = f"""
{VERSION_1}
UPDATE schema_version SET version = 3;
ALTER TABLE trial ADD COLUMN messages TEXT;
ALTER TABLE trial ADD COLUMN case_group TEXT;
"""

VERSION_4 = f"""
{VERSION_3}
UPDATE schema_version SET version = 4;
ALTER TABLE trial ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trial ADD COLUMN metrics TEXT;
CREATE INDEX trial_position ON trial (run, suite, position);
CREATE TABLE case_content (key VARCHAR(64) NOT NULL PRIMARY KEY, inputs TEXT NOT NULL,
  expected TEXT);
"""

COLUMNS = """
SELECT tables.name, columns.name, columns.type, columns."notnull", columns.dflt_value, columns.pk
FROM pragma_table_list AS tables, pragma_table_info(tables.name) AS columns
WHERE tables.schema = 'main' AND tables.name NOT LIKE 'sqlite_%'
"""
INDEXES = """
SELECT indexes.name, columns.seqno, columns.name
FROM pragma_index_list('trial') AS indexes, pragma_index_info(indexes.name) AS columns
"""


def layout(path: Path) -> list[list[tuple[object, ...]]]:
    """Return every column of every table, and what is indexed."""
    with closing(sqlite3.connect(path)) as raw:
        return [sorted(raw.execute(query), key=repr) for query in (COLUMNS, INDEXES)]


@pytest.mark.parametrize("script", [VERSION_1, VERSION_3, VERSION_4], ids=["1", "3", "4"])
def test_an_older_store_is_brought_up_to_date(tmp_path: Path, script: str) -> None:
    old, fresh = tmp_path / "old.db", tmp_path / "fresh.db"
    with closing(sqlite3.connect(old)) as raw:
        raw.executescript(script)
    result = TrialResult(
        case="c",
        key="00",
        trial=1,
        model="m",
        position=1,
        metrics={"judge_requests": 2},
        input_tokens=10,
        cached_tokens=8,
        model_seconds=0.25,
        messages=[{"kind": "request"}],
    )
    with closing(RunStore(old)) as store:
        (kept,) = (record.result for record in store.results("20250101-old"))
        assert (kept.output, kept.messages) == ("kept", None)
        assert (kept.position, kept.metrics) == (0, {})
        assert (kept.cached_tokens, kept.model_seconds) == (0, None)
        assert list(store.contents("20250101-old", "s")) == []
        new = Record(suite="s", result=result, content=Content(inputs="asked"))
        store.add("20250101-old", [new])
    with closing(RunStore(old)) as store:  # once more: nothing is left to do
        assert [record.result for record in store.results("20250101-old")] == [kept, result]
        assert list(store.contents("20250101-old", "s")) == [("00", Content(inputs="asked"))]
    RunStore(fresh).close()
    assert layout(old) == layout(fresh)


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
