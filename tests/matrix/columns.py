"""The columns: what a model is called in the settings, and what the settings say of its server."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic_ai.exceptions import UnexpectedModelBehavior

from assay.deps.errors import ProviderDown, StreamCutShort, UnknownModel

from .cells import ABSENT

__all__ = ("COLUMNS", "NAMES", "Column", "Ending")


@dataclass(frozen=True)
class Ending:
    """The errors that are right, and how many requests the server sees before."""

    kinds: tuple[type[Exception], ...]
    requests: int | None = 1


@dataclass(frozen=True)
class Column:
    """A way in which a model is asked.

    Attributes:
        model: Its name in the settings.
        variables: The environment that leads there; `{url}` is the server's, `{anthropic}` where it
            speaks that protocol, `{key}` its key.
        servers: Who can answer, see `servers`.
        router: Whether the address is OpenRouter's, which no variable moves.
        ends: What a behaviour comes to here instead, by its name.
        hides: Which behaviours cannot be seen from here, and why.
        relays_retry_after: Whether a wait that is asked for gets here.
    """

    name: str
    model: str
    servers: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    router: bool = False
    ends: Mapping[str, Ending] = field(default_factory=dict[str, Ending])
    hides: Mapping[str, str] = field(default_factory=dict[str, str])
    relays_retry_after: bool = True

    def named(self, model: str) -> str:
        """Return the settings' name of another model there."""
        prefix, colon, _ = self.model.rpartition(":")
        return f"{prefix}{colon}{model}"

    @property
    def bare(self) -> str:
        """The model's name as its server knows it."""
        return self.model.rpartition(":")[2]


OPENAI = {"OPENAI_BASE_URL": "{url}/v1", "OPENAI_API_KEY": "{key}"}
PROXY = {"ASSAY_LITELLM_BASE_URL": "{url}/v1", "ASSAY_LITELLM_API_KEY": "{key}"}
ENDPOINT = {"ASSAY_BASE_URL": "{url}/v1", "ASSAY_API_KEY": "{key}"}

# Here an answer may hold nothing: the model had nothing to say. The agent's loop asks once more.
SAYS_NOTHING = {"empty choices": Ending((UnexpectedModelBehavior,), requests=2)}

# A proxy tells of a body that it could not read as a failure of its own.
UNREAD = {"malformed body": Ending((ProviderDown,)), "corrupt SSE": Ending((StreamCutShort,))}

# LiteLLM 1.83 gives a stream that broke off behind it the end of a whole one: nobody can tell.
WHOLE = "the proxy tells of a whole answer, with a reason to end"
HIDDEN = {"cut after a token": WHOLE, "early end": WHOLE}

COLUMNS = (
    Column("openai-chat", "openai-chat:gpt-4.1-mini", ("own", "aimock", "llmock"), OPENAI),
    Column(
        "openai-responses",
        "openai:gpt-4.1-mini",
        ("own", "aimock", "llmock"),
        OPENAI,
        ends=SAYS_NOTHING,
    ),
    Column(
        "anthropic",
        "anthropic:claude-sonnet-4-6",
        ("own", "aimock", "llmock"),
        {"ANTHROPIC_BASE_URL": "{anthropic}", "ANTHROPIC_API_KEY": "{key}"},
        ends=SAYS_NOTHING,
    ),
    Column("openrouter", "openrouter:openai/gpt-4.1-mini", ("own", "aimock"), router=True),
    Column(
        "ollama",
        "ollama:llama3.2",
        ("own", "aimock"),
        {"OLLAMA_BASE_URL": "{url}/v1", "OLLAMA_API_KEY": "{key}"},
    ),
    Column("endpoint", "qwen3", ("own", "aimock", "llmock", "llama-server"), ENDPOINT),
    Column("litellm", "litellm:openai/gpt-4.1-mini", ("own",), PROXY),
    Column(
        "litellm-openai",
        "litellm:to-openai",
        ("proxy",),
        PROXY,
        ends=UNREAD,
        hides=HIDDEN,
        relays_retry_after=False,
    ),
    Column(
        "litellm-anthropic",
        "litellm:to-anthropic",
        ("proxy",),
        PROXY,
        ends={**UNREAD, **SAYS_NOTHING},
        hides={**HIDDEN, "corrupt SSE": WHOLE},
        relays_retry_after=False,
    ),
    Column(
        "outlines",
        "outlines:{url}",
        ("process",),
        ends={"wrong model": Ending((UnknownModel,))},
        hides={"bad key": "it runs in this process, and asks for no key"},
    ),
)

NAMES = frozenset(column.bare for column in COLUMNS)
"""The models that there are; `ABSENT` is none."""

assert ABSENT not in NAMES
