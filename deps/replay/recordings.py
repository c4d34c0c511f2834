"""Recorded model responses as files: one JSON file per response, in a folder per case.

`datasets/<agent>/replay/` (committed, reviewed) and `.assay/replay/<suite>/` (local) have the same
layout, so recordings are moved between them by copying:

    <case>/<trial>.<occurrence>.<hash of the request>.json

A file's name is its key, so nothing need be indexed or locked: a lookup opens one file, and writers
in any number of processes each replace whole files.
"""

import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from ..errors import ConfigError

__all__ = ("BadRecording", "Key", "Place", "Recording", "Recordings", "dump", "folder_name")

VERSION = 1


class BadRecording(ConfigError):
    """A recording's file cannot be read."""


@dataclass(frozen=True)
class Key:
    """Which response is meant.

    Attributes:
        occurrence: How many equal requests came before it in the trial.
        request: Hash of what was asked.
    """

    case: str
    trial: int
    occurrence: int
    request: str


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One response, and what was asked.

    Attributes:
        request: As `requests.request_document` says it.
        response: A `ModelResponse` as JSON data.
        events: A stream's events as JSON data, where it was streamed.
        latency: Seconds until the response was complete.
    """

    key: Key
    request: dict[str, Any]
    response: dict[str, Any]
    events: list[Any] | None
    latency: float


class Place(Protocol):
    """Where recordings are looked for."""

    def get(self, key: Key) -> Recording | None: ...
    def of_case(self, case: str) -> Iterator[Recording]: ...


@dataclass(frozen=True)
class Recordings:
    """A folder of recordings, which need not exist yet."""

    folder: Path

    def get(self, key: Key) -> Recording | None:
        """Return a recording, or None if there is none.

        Raises:
            BadRecording: its file is damaged.
        """
        return _read(self._file(key), key.case)

    def written(self, key: Key) -> datetime | None:
        """Return when a recording's file was written, or None if there is none."""
        try:
            return datetime.fromtimestamp(self._file(key).stat().st_mtime, UTC)
        except FileNotFoundError:
            return None

    def put(self, key: Key, text: str) -> None:
        """Keep a recording, given as `dump` has made it; a former one is replaced at once.

        Raises:
            ConfigError: the folder cannot be written.
        """
        file = self._file(key)
        passing = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            passing.write_text(text, encoding="utf-8")
            os.replace(passing, file)
        except OSError as e:
            raise ConfigError(f"cannot write the recording {str(file)!r}: {e}") from e

    def of_case(self, case: str) -> Iterator[Recording]:
        """Yield all recordings of a case, by trial and name."""
        for file in sorted(self._folder(case).glob("[0-9]*.json")):
            found = _read(file, case)
            if found is not None:  # another process may just have removed it
                yield found

    def forget(self, case: str, trial: int) -> None:
        """Remove the recordings of one trial."""
        for file in self._folder(case).glob(f"{trial}.*.json"):
            file.unlink(missing_ok=True)

    def _folder(self, case: str) -> Path:
        return self.folder / folder_name(case)

    def _file(self, key: Key) -> Path:
        return self._folder(key.case) / f"{key.trial}.{key.occurrence}.{key.request}.json"


def dump(recording: Recording) -> str:
    """Return the text of a recording's file."""
    document = {
        "version": VERSION,
        "case": recording.key.case,
        "latency": round(recording.latency, 4),
        "request": recording.request,
        "response": recording.response,
        "events": recording.events,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _read(file: Path, case: str) -> Recording | None:
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return None
    try:
        trial, occurrence, request, _ = file.name.split(".")
        found = json.loads(text)
        if found["version"] != VERSION:
            raise ValueError(f"version {found['version']!r}; this Assay reads {VERSION}")
        return Recording(
            key=Key(case, int(trial), int(occurrence), request),
            request=found["request"],
            response=found["response"],
            events=found["events"],
            latency=found["latency"],
        )
    except (ValueError, KeyError, TypeError) as e:
        raise BadRecording(
            f"the recording {str(file)!r} cannot be read: {type(e).__name__}: {e}; "
            "delete it and record again"
        ) from e


def folder_name(case: str) -> str:
    """Return a folder's name for a case: its own where every file system takes it as it is."""
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,79}", case):
        return case
    slug = re.sub(r"[^a-z0-9]+", "-", case.lower()).strip("-")[:60]
    return f"{slug}-{sha256(case.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
