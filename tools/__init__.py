"""Tools, each typed on the smallest protocol of deps it needs; attach with `agent.tool(...)`."""

from .history import similar_messages

__all__ = ("similar_messages",)
