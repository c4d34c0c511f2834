"""Results as YAML for people: a text of several lines stands as it is, not in quotes."""

from typing import Any

import yaml

__all__ = ("readable",)


class _Dumper(yaml.SafeDumper):
    """Writes lines as lines. One with characters that cannot be printed is still in quotes."""


def _text(_: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def readable(value: Any) -> str:
    """Return a JSON-like value as YAML, in its own order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=96)
