"""How providers take many requests as one batch, and what they give back: OpenAI's and Anthropic's.

Nothing here waits or keeps anything: each function is a request or two.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, JsonValue

from .protocol import Answer, BatchFormat, Line, Server, Standing, read, read_lines

__all__ = ("FORMATS", "AnthropicBatches", "OpenAIBatches")

RECENT = "100"
"""How many of a provider's newest batches are looked through for one whose name was not heard."""

SKEW = timedelta(minutes=10)
"""By how much a provider's clock may be behind ours."""

_STATUS_OF_CODE = {"batch_expired": 408, "batch_cancelled": 409}
_QUEUE_FULL = ("token_limit_exceeded", "rate_limit_exceeded", "request_limit_exceeded")


class _Named(BaseModel):
    id: str


class _Error(BaseModel):
    code: str | None = None
    message: str | None = None


class _Errors(BaseModel):
    data: list[_Error] | None = None


class _Counts(BaseModel):
    total: int = 0
    completed: int = 0
    failed: int = 0


class _Batch(BaseModel):
    id: str
    status: str
    request_counts: _Counts | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: _Errors | None = None
    metadata: dict[str, str] | None = None


class _Batches(BaseModel):
    data: list[_Batch]


class _Response(BaseModel):
    status_code: int
    body: JsonValue


class _OutputLine(BaseModel):
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


class OpenAIBatches:
    """OpenAI's: a file of JSON lines goes up, and one or two come down. Others speak it too."""

    most = 50_000
    most_bytes = 200_000_000

    def endpoint(self, path: str) -> str | None:
        ends = ("/chat/completions", "/responses")
        return next((end for end in ends if path.endswith(end)), None)

    async def submit(self, server: Server, endpoint: str, token: str, lines: Sequence[Line]) -> str:
        url = f"/v1{endpoint}"
        content = b"\n".join(
            b'{"custom_id":"%s","method":"POST","url":"%s","body":%s}'
            % (line.custom_id.encode(), url.encode(), line.body)
            for line in lines
        )
        file = await server.post(
            "/files",
            data={"purpose": "batch"},
            files={"file": (f"{token}.jsonl", content, "application/jsonl")},
        )
        batch = {
            "input_file_id": read(file, _Named).id,
            "endpoint": url,
            "completion_window": "24h",
            "metadata": {"assay": token},
        }
        return read(await server.post("/batches", json=batch), _Named).id

    async def standing(self, server: Server, batch: str) -> Standing:
        said = read(await server.get(f"/batches/{batch}"), _Batch)
        counts = said.request_counts or _Counts()
        return Standing(
            id=batch,
            ended=said.status in ("completed", "failed", "expired", "cancelled"),
            done=counts.completed + counts.failed,
            total=counts.total,
            said=said,
        )

    async def answers(self, server: Server, standing: Standing) -> dict[str, Answer]:
        assert isinstance(standing.said, _Batch)
        found: dict[str, Answer] = {}
        for file in (standing.said.output_file_id, standing.said.error_file_id):
            if file:
                content = await server.get(f"/files/{file}/content")
                lines = read_lines(content, _OutputLine)
                found |= {line.custom_id: self._answer(line) for line in lines}
        return found

    def _answer(self, line: _OutputLine) -> Answer:
        if line.response is not None:
            return Answer(line.response.status_code, json.dumps(line.response.body).encode())
        error = line.error or _Error()
        code = error.code or "unknown"
        return Answer.error(_STATUS_OF_CODE.get(code, 500), error.message or code, code)

    def silence(self, standing: Standing) -> Answer:
        assert isinstance(standing.said, _Batch)
        status, errors = standing.said.status, standing.said.errors
        if status == "failed":  # the file as a whole was refused, or too much waits already
            found = (errors and errors.data) or [_Error(code="batch_failed")]
            busy = any(error.code in _QUEUE_FULL for error in found)
            said = "; ".join(error.message or str(error.code) for error in found)
            return Answer.error(429 if busy else 400, said, str(found[0].code))
        code = f"batch_{status}"
        said = f"the batch is {status}, and says nothing of this request"
        return Answer.error(_STATUS_OF_CODE.get(code, 502), said, code)

    async def lost(self, server: Server, token: str, since: datetime) -> list[tuple[str, bool]]:
        newest = read(await server.get("/batches", {"limit": RECENT}), _Batches).data
        return [(one.id, True) for one in newest if (one.metadata or {}).get("assay") == token]


class _MessageBatch(BaseModel):
    id: str
    processing_status: str
    request_counts: dict[str, int]
    created_at: AwareDatetime


class _MessageBatches(BaseModel):
    data: list[_MessageBatch]


class _Result(BaseModel):
    type: str
    message: JsonValue = None
    error: JsonValue = None


class _ResultLine(BaseModel):
    custom_id: str
    result: _Result


class AnthropicBatches:
    """Anthropic's: the requests are the body, and their results come down as JSON lines."""

    most = 100_000
    most_bytes = 250_000_000  # of 256 MB, which count what is around the requests too

    def endpoint(self, path: str) -> str | None:
        return "/messages" if path.endswith("/messages") else None

    async def submit(self, server: Server, endpoint: str, token: str, lines: Sequence[Line]) -> str:
        requests = [{"custom_id": one.custom_id, "params": json.loads(one.body)} for one in lines]
        answer = await server.post("/messages/batches", json={"requests": requests})
        return read(answer, _Named).id

    async def standing(self, server: Server, batch: str) -> Standing:
        said = read(await server.get(f"/messages/batches/{batch}"), _MessageBatch)
        total = sum(said.request_counts.values())
        return Standing(
            id=batch,
            ended=said.processing_status == "ended",
            done=total - said.request_counts.get("processing", 0),
            total=total,
            said=said,
        )

    async def answers(self, server: Server, standing: Standing) -> dict[str, Answer]:
        # Not by its `results_url`: the key goes to nobody but the server that was configured.
        content = await server.get(f"/messages/batches/{standing.id}/results")
        lines = read_lines(content, _ResultLine)
        return {line.custom_id: self._answer(line.result) for line in lines}

    def _answer(self, result: _Result) -> Answer:
        if result.type == "succeeded":
            return Answer(200, json.dumps(result.message).encode())
        if result.type == "errored":
            return Answer(_status(result.error), json.dumps(result.error).encode())
        status = {"expired": 408, "canceled": 409}.get(result.type, 502)
        said = f"the batch was {result.type} before this request was run"
        return Answer.error(status, said, result.type)

    def silence(self, standing: Standing) -> Answer:
        return Answer.error(502, "the batch has ended, and says nothing of this request", "missing")

    async def lost(self, server: Server, token: str, since: datetime) -> list[tuple[str, bool]]:
        # A batch bears no mark here, but its requests do, which can be read when it has ended.
        newest = read(await server.get("/messages/batches", {"limit": RECENT}), _MessageBatches)
        return [(one.id, False) for one in newest.data if one.created_at >= since - SKEW]


# The names of https://docs.claude.com/en/api/errors
_STATUS_OF_ERROR = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def _status(said: JsonValue) -> int:
    error = said.get("error") if isinstance(said, dict) else None
    kind = error.get("type") if isinstance(error, dict) else None
    return _STATUS_OF_ERROR.get(str(kind), 500)


FORMATS: tuple[BatchFormat, ...] = (OpenAIBatches(), AnthropicBatches())
