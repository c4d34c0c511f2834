"""Spans of a test, in files: with a provider of the test's own, so that no other test has it."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from pydantic import SecretStr
from pydantic_ai import Agent
from pydantic_ai.models.instrumented import InstrumentationSettings

from assay.deps import spans
from assay.deps.approvals import outcomes, store
from assay.deps.traces import Scrubbing, sink_of
from assay.deps.traces.files import Batches


@contextmanager
def recorded(
    path: Path, *, secrets: Iterable[str] = (), content: bool = True
) -> Generator[TracerProvider]:
    """Record what agents do within the block; afterwards the file has it all."""
    sink = sink_of(path)
    assert sink is not None
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Scrubbing(map(SecretStr, secrets), content=content))
    provider.add_span_processor(Batches(sink))
    tracer = provider.get_tracer("assay")
    try:
        with pytest.MonkeyPatch.context() as patch:
            for module in (spans, outcomes, store):
                patch.setattr(module, "_tracer", tracer)
            Agent.instrument_all(
                InstrumentationSettings(
                    tracer_provider=provider, include_content=content, include_binary_content=False
                )
            )
            yield provider
    finally:
        Agent.instrument_all(False)
        provider.shutdown()
