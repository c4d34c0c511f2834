"""The page that people label on. It holds no item: those come one by one, as JSON.

Style and helpers are the report's, with its walls: all texts reach the page as text nodes, and the
policy lets no script run but the one that bears the nonce.
"""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..reports import html
from ..reports.plain import plain_data
from .session import MAX_NAME, MAX_NOTE, SCORES

__all__ = ("render",)

TEMPLATES = Path(__file__).parent / "templates"


def render(nonce: str, *, run: str, random: bool) -> str:
    """Return the page.

    Args:
        nonce: What its script and style are allowed by.
        run: The run's id.
        random: Whether items come in random order.
    """
    data: dict[str, Any] = {"run": run, "scores": list(SCORES.items())}
    return (
        Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
        .get_template("label.html.j2")
        .render(
            nonce=nonce,
            run=run,
            random=random,
            max_name=MAX_NAME,
            max_note=MAX_NOTE,
            data=html.embedded(plain_data(data)),
            # Our own files, no data.
            script=Markup(_script()),  # noqa: S704
            style=Markup(_style()),  # noqa: S704
        )
    )


@cache
def _script() -> str:
    text = _read(html.TEMPLATES / "report_text.js") + _read(TEMPLATES / "label.js")
    return f'"use strict";\n(() => {{\n{text}}})();\n'


@cache
def _style() -> str:
    return _read(html.TEMPLATES / "report.css") + _read(TEMPLATES / "label.css")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
