"""Traces, configured once by whoever owns the process: a command line, a service's start-up."""

from .setup import (
    Scrubbing,
    configure,
    sink_of,
)

__all__ = (
    "Scrubbing",
    "configure",
    "sink_of",
)
