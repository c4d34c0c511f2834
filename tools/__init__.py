"""Tools, each typed on the smallest protocol of deps it needs; attach with `agent.tool(...)`."""

from .calculator import calculate
from .documents import search_documents
from .files import list_files, read_file, search_files, write_file
from .history import similar_messages
from .idempotent import idempotent
from .memory import forget, recall, remember
from .quotes import find_quote
from .search import search_web
from .sql import describe_database, query_database
from .style import style_rule
from .web import fetch_page

__all__ = (
    "calculate",
    "describe_database",
    "fetch_page",
    "find_quote",
    "forget",
    "idempotent",
    "list_files",
    "query_database",
    "read_file",
    "recall",
    "remember",
    "search_documents",
    "search_files",
    "search_web",
    "similar_messages",
    "style_rule",
    "write_file",
)
