"""Chat completions: OpenAI's requests to jobs, events to OpenAI's responses.

Takes checked requests and events; gives jobs and JSON. Knows neither the web framework nor the engine.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from paddle_ground.infer import Sampling
from paddle_ground.records import Message
from paddle_ground.records.samples import IMAGE_MARK
from paddle_ground.serve.boxes_schema import layout_of
from paddle_ground.serve.jobs import BoxLayout, Delta, Done, Job, Token
from paddle_ground.serve.refusals import BadRequestError
from paddle_ground.serve.schemas import ChatRequest, Drawing, ImagePart, Turn

# Text that would be read as the frame of the conversation, or as another image.
FRAME = re.compile(r"<\|(?:im_start|im_end|endoftext|vision_\w+|\w+_pad)\|>|<(?:image|video|audio)>")


def sampling_of(wanted: Drawing) -> Sampling:
    """Give how tokens are chosen; without a seed, one that nobody knows."""
    temperature = wanted.temperature or 0.0
    seed = secrets.randbits(62) if wanted.seed is None else wanted.seed % 2**63
    return Sampling(temperature, wanted.top_p or 1.0, seed)


def image_urls(request: ChatRequest) -> list[str]:
    """List where the images of a conversation are, in order."""
    return [
        part.image_url.url
        for turn in request.messages
        if not isinstance(turn.content, str)
        for part in turn.content
        if isinstance(part, ImagePart)
    ]


def jobs_of(request: ChatRequest, images: tuple[bytes, ...]) -> list[Job]:
    """Give a job for each choice.

    Raises:
        BadRequestError: The conversation or the schema can't be used.
    """
    if request.max_tokens and request.max_completion_tokens:
        raise BadRequestError("max_tokens and max_completion_tokens mean the same; give one", "max_tokens")
    layout = _layout(request)
    job = Job(
        images,
        tuple(_turns(request.messages)),
        constrained=request.constrained,
        boxes=layout,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        sampling=sampling_of(request),
        stop=request.stop_words,
        stream=bool(request.stream),
        logprobs=bool(request.logprobs),
    )
    if layout and (job.stop or job.logprobs):
        raise BadRequestError("with response_format, neither stop nor logprobs is offered", "response_format")
    if layout and request.constrained is False:
        raise BadRequestError("response_format needs an answer that is held to it", "constrained")
    # Choices differ by their seeds, so that each can be had again.
    seed = job.sampling.seed or 0
    return [
        replace(job, sampling=replace(job.sampling, seed=(seed + at) % 2**63)) for at in range(request.n or 1)
    ]


def _layout(request: ChatRequest) -> BoxLayout | None:
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.json_schema is None:
        raise BadRequestError("type is json_schema, but there is no json_schema", "response_format")
    return layout_of(wanted.json_schema.schema_)


def _turns(turns: Sequence[Turn]) -> list[Message]:
    found = [
        Message("system" if t.role == "developer" else t.role, _text(t, at)) for at, t in enumerate(turns)
    ]
    talk = found[1:] if found[0].role == "system" else found
    roles = [turn.role for turn in talk]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise BadRequestError(
            "expected a system turn or none, then user and assistant by turns, the user last",
            "messages",
        )
    return found


def _text(turn: Turn, at: int) -> str:
    if isinstance(turn.content, str):
        return _checked(turn.content, at)
    if turn.role != "user" and any(isinstance(part, ImagePart) for part in turn.content):
        raise BadRequestError("only user turns may hold images", f"messages.{at}")
    return "".join(
        IMAGE_MARK if isinstance(part, ImagePart) else _checked(part.text, at) for part in turn.content
    )


def _checked(text: str, at: int) -> str:
    found = FRAME.search(text)
    if found:
        raise BadRequestError(
            f"{found.group()} in a text would be read as a command; take it out", f"messages.{at}.content"
        )
    return text


@dataclass(slots=True)
class Reply:
    """The responses to one request.

    Args:
        model: What the client calls it.
    """

    model: str
    id: str = ""
    created: int = 0

    def __post_init__(self) -> None:
        """Choose an id."""
        self.id = f"chatcmpl-{secrets.token_hex(12)}"
        self.created = int(time.time())

    def whole(self, answers: Sequence[Done], logprobs: bool) -> dict[str, Any]:
        """Give all choices in one."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": answer.text, "refusal": None},
                "logprobs": _logprobs(answer.tokens) if logprobs else None,
                **_ended(answer),
            }
            for index, answer in enumerate(answers)
        ]
        return {**self._head("chat.completion"), "choices": choices, "usage": usage(answers)}

    def first(self, index: int) -> dict[str, Any]:
        """Open a choice of a stream."""
        return self._chunk(index, {"role": "assistant", "content": ""})

    def piece(self, index: int, text: str, tokens: Sequence[Token], logprobs: bool) -> dict[str, Any]:
        """Give a piece of a choice."""
        return self._chunk(index, {"content": text}, _logprobs(tokens) if logprobs else None)

    def of_delta(self, index: int, delta: Delta, logprobs: bool) -> dict[str, Any]:
        """Give a piece as it came."""
        return self.piece(index, delta.text, delta.tokens, logprobs)

    def last(self, index: int, answer: Done) -> dict[str, Any]:
        """Close a choice of a stream."""
        return self._chunk(index, {}, None, _ended(answer))

    def usage_only(self, answers: Sequence[Done]) -> dict[str, Any]:
        """Give the figures of a stream, after all choices."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage(answers)}

    def _chunk(
        self, index: int, delta: dict[str, Any], logprobs: Any = None, ended: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        end = ended or {"finish_reason": None}
        choice = {"index": index, "delta": delta, "logprobs": logprobs, **end}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def usage(answers: Sequence[Done]) -> dict[str, int]:
    """Count tokens: the question's once, those of all choices."""
    asked = answers[0].prompt_tokens
    written = sum(answer.completion_tokens for answer in answers)
    return {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}


def _ended(answer: Done) -> dict[str, Any]:
    # OpenAI's clients know no "loop": we stopped it, and say so beside.
    if answer.finish_reason == "loop":
        return {"finish_reason": "stop", "stop_reason": "loop"}
    return {"finish_reason": answer.finish_reason}


def _logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    content = [
        {
            "token": token.raw.decode(errors="replace"),
            "logprob": token.logprob,
            "bytes": list(token.raw),
            "top_logprobs": [],
        }
        for token in tokens
    ]
    return {"content": content, "refusal": None}
