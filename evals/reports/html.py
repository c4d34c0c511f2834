"""The HTML report: one file that opens from disk, asks the network for nothing, and runs no data.

Three walls stand between what a model wrote and the reader's browser: Jinja escapes all that is in
the markup, the cases are JSON that no HTML parser can leave, shown as text nodes only; and the
page's Content-Security-Policy allows our own script by its hash and forbids everything else.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..resources import COST, LATENCY, TOKENS
from .cases import Spent
from .charts import HEIGHT, WIDTH, Histogram, Stack, curve, histogram, interval, shift
from .page import Page
from .plain import plain_data
from .views import CheckView
from .words import dollars, number, seconds, signed, span

__all__ = ("drawn", "embedded", "render")

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("report_text.js", "report_table.js", "report_timeline.js", "report_case.js")

_NOT_IN_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_ESCAPES = {char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029\x7f"}


def render(page: Page) -> str:
    """Return the report as an HTML document."""
    return drawn(
        "report.html.j2",
        SCRIPTS,
        _data(page),
        page=page,
        width=WIDTH,
        height=HEIGHT,
        interval=interval,
        stack=Stack.of,
        shift=shift,
        span=span,
        curve=curve,
        scores=_scores,
        latencies=_latencies,
        costs=_costs,
        COST=COST,
        LATENCY=LATENCY,
        TOKENS=TOKENS,
    )


def drawn(template: str, scripts: Sequence[str], data: Any, **shown: Any) -> str:
    """Return a page behind the three walls.

    Args:
        template: Its file; it places `policy`, `style`, `data` and `script`.
        scripts: Files that make one script, in this order.
        data: What the script reads, as JSON data.
        shown: What else the template prints.
    """
    script, style = _script(scripts), _read("report.css")
    return (
        _environment()
        .get_template(template)
        .render(
            script=Markup(script),  # noqa: S704 - our own files, no data
            style=Markup(style),  # noqa: S704
            policy=_policy(script, style),
            data=embedded(data),
            **shown,
        )
    )


def embedded(data: Any) -> Markup:
    """Return JSON that can stand in a script element: it holds no `<`, `>`, `&` or line separator.

    It is the same JSON to a parser, for these characters can only be in its texts.
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for char, escape in _ESCAPES.items():  # many times faster than str.translate on a long text
        text = text.replace(char, escape)
    return Markup(text)  # noqa: S704 - escaped in the lines above


def _data(page: Page) -> dict[str, Any]:
    url = page.trace_url
    head = {
        "title": page.title,
        "reference": page.before,
        "suites": [suite.name for suite in page.suites],
        "checks": list(
            dict.fromkeys(check.name for suite in page.suites for check in suite.checks)
        ),
        "trace": url if url.startswith(("https://", "http://")) else "",
    }
    return {**plain_data(head), "cases": page.cases}


def _policy(script: str, style: str) -> str:
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _script(names: Sequence[str]) -> str:
    return '"use strict";\n(() => {\n' + "\n".join(map(_read, names)) + "})();\n"


@cache
def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    found.filters.update(number=number, dollars=dollars, seconds=seconds, query=_query)
    found.filters.update(signed=signed)
    return found


def _shown(value: Any) -> Any:
    """Replace the characters that HTML cannot hold, in every text that a template prints."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _NOT_IN_HTML.sub("\ufffd", value)
    return value


def _query(value: str) -> str:
    """Return a text as a part of a link's query."""
    return quote(value.encode("utf-8", "replace"), safe="")


def _scores(check: CheckView) -> Histogram | None:
    """Return how the cases' means are spread; None where all are 0 or 1 and the bar says it."""
    means = [float(mean) for mean in check.values.means]
    if all(mean in (0.0, 1.0) for mean in means):
        return None
    inside = all(0 <= mean <= 1 for mean in means)
    bounds = (0.0, 1.0) if inside else None
    return histogram(means, "cases", lambda value: f"{value:.2g}", bounds=bounds, quantiles=False)


def _latencies(spent: Spent) -> Histogram | None:
    return histogram(spent.seconds, "trials", seconds)


def _costs(spent: Spent) -> Histogram | None:
    """Return what trials cost; None where no price is known or nothing cost anything."""
    return histogram(spent.costs, "trials", dollars) if any(spent.costs) else None
