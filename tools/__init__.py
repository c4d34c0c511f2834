"""Tools, each typed on the smallest protocol of deps it needs; attach with `agent.tool(...)`."""

from .history import similar_messages
from .quotes import find_quote
from .style import style_rule

__all__ = ("find_quote", "similar_messages", "style_rule")
