"""Every provider protocol against everything that a provider does, cell by cell."""

import os
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from pydantic_ai import models

from assay.deps import BaseDeps
from assay.deps.errors import ProviderBusy, ProviderRefused, StreamCutShort

from .matrix.acts import Say
from .matrix.cells import BEHAVIOURS, WRONG_KEY, Behaviour
from .matrix.columns import COLUMNS, NAMES, Column
from .matrix.run import Places
from .matrix.servers import Programs, Servers

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PROGRAMS = Programs.found(os.environ)  # read now: tests see none of the ASSAY_ variables


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def places() -> AsyncIterator[Places]:
    async with Servers(PROGRAMS, NAMES) as servers, Places(servers) as found:
        yield found


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow requests, all of them to loopback."""
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)


def slug(name: str) -> str:
    return name.replace(" ", "_").lower()


def skipped(server: str) -> list[pytest.MarkDecorator]:
    why = PROGRAMS.absent(server)
    return [pytest.mark.skip(reason=f"{server}: {why}")] if why else []


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: slug(behaviour.name))
@pytest.mark.parametrize(
    ("column", "server"),
    [
        pytest.param(column, server, id=f"{column.name}-{server}", marks=skipped(server))
        for column in COLUMNS
        for server in column.servers
    ],
)
async def test_a_cell_comes_to_the_right_answer_or_the_right_error(
    places: Places, column: Column, server: str, behaviour: Behaviour
) -> None:
    cell = await (await places.get(column, server)).cell(behaviour)
    if cell.verdict == "skipped":
        pytest.skip(cell.why)
    assert cell.verdict == "ok", cell.why


KNOWN = {behaviour.name: behaviour for behaviour in BEHAVIOURS}
TEXT, BUSY, CRASH = KNOWN["text"], KNOWN["429 Retry-After"], KNOWN["malformed body"]


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (replace(TEXT, script=(Say("No."),)), "answered 'No.'"),
        (replace(TEXT, requests=2), "1 requests instead of 2"),
        (replace(TEXT, script=("hangs",), bound=0.1), "not at its end after 0.1 s"),
        (replace(TEXT, mode="native"), "asked for the output in another way"),
        (replace(BUSY, waits=9.0), "where the server wants 9$"),
        (replace(CRASH, ends=(StreamCutShort,)), "ProviderGarbled: model"),
        (replace(CRASH, script=(Say("All is well."),)), "answered 'All is well.'"),
        (replace(KNOWN["bad key"], ends=(ProviderBusy,)), "ProviderRefused: model"),
    ],
)
async def test_a_cell_that_comes_to_anything_else_is_wrong(
    places: Places, behaviour: Behaviour, why: str
) -> None:
    cell = await (await places.get(COLUMNS[0], "own")).cell(behaviour)
    assert cell.verdict == "WRONG"
    assert re.search(why, cell.why)


async def test_a_key_in_an_error_is_wrong(places: Places) -> None:
    async def tell(deps: BaseDeps) -> object:
        raise ProviderRefused(f"the key {WRONG_KEY} is none")

    place = await places.get(COLUMNS[0], "own")
    cell = await place.cell(replace(KNOWN["bad key"], way=tell))
    assert (cell.verdict, cell.why) == ("WRONG", "a key is in the error")
