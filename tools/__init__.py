"""Tools, each typed on the smallest protocol of deps it needs; attach with `agent.tool(...)`."""

from .calculator import calculate
from .files import list_files, read_file, search_files, write_file
from .history import similar_messages
from .quotes import find_quote
from .style import style_rule
from .web import fetch_page

__all__ = (
    "calculate",
    "fetch_page",
    "find_quote",
    "list_files",
    "read_file",
    "search_files",
    "similar_messages",
    "style_rule",
    "write_file",
)
