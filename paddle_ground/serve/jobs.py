"""What the server's two sides say to each other: a job in, events out; as dataclasses and as plain JSON.

Takes nothing; gives the types, and their way to and from what `json` can write. Images travel beside the
JSON as the bytes that they came in. Knows neither HTTP nor a model.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from paddle_ground.infer import Sampling
from paddle_ground.infer.engine import DEFAULT_MAX_NEW_TOKENS
from paddle_ground.prompts import Language
from paddle_ground.records import Message, Region

JSONObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BoxLayout:
    """How a client wants boxes as JSON: a list of objects, alone or in one key of an object.

    Attributes:
        box_key: Key of the four numbers.
        label_key: Key of the name; none where the client wants no names.
        wrapper: Key that holds the list; none where the answer is the list.
        labels: The names that may be; none leaves them free.
    """

    box_key: str
    label_key: str | None
    wrapper: str | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """A question for things in one image, put into words where the model is known.

    Attributes:
        query: A phrase, class names, or none for the prompt that the model was tuned on.
        lang: Of the prompt around the query.
    """

    query: str | tuple[str, ...] | None = None
    lang: Language = "en"


@dataclass(frozen=True, slots=True)
class Job:
    """One answer that somebody wants.

    Attributes:
        images: Image files, whole.
        turns: A conversation, oldest first, the last turn the user's; `<image>` marks say where the
            images stand. () for a search.
        search: What to look for instead, in the only image.
        constrained: Hold the answer to the model's grammar, or let it write what it wants. None: held
            for searches, for `boxes`, and for the prompt that the model was tuned on; else free.
        boxes: Give the answer as JSON of this layout.
        max_tokens: Where the answer is cut off; none for the usual limit, less where the context is full.
        sampling: How tokens are chosen.
        stop: The answer ends before the first of these.
        stream: Whether the text is wanted as it comes.
        logprobs: Whether each token is wanted with its probability.
    """

    images: tuple[bytes, ...]
    turns: tuple[Message, ...] = ()
    search: Search | None = None
    constrained: bool | None = None
    boxes: BoxLayout | None = None
    max_tokens: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    stream: bool = False
    logprobs: bool = False

    @property
    def limit(self) -> int:
        """Tokens at which the answer is cut off, if the context has room for them."""
        return DEFAULT_MAX_NEW_TOKENS if self.max_tokens is None else self.max_tokens

    def to_json(self) -> JSONObject:
        """Give all but the images."""
        return asdict(replace(self, images=()))

    @classmethod
    def from_json(cls, value: JSONObject, images: tuple[bytes, ...]) -> Job:
        """Take what `to_json` gave."""
        search, boxes = value["search"], value["boxes"]
        if search is not None:
            query = search["query"]
            search = Search(tuple(query) if isinstance(query, list) else query, search["lang"])
        if boxes is not None:
            labels = boxes.pop("labels")
            boxes = BoxLayout(**boxes, labels=None if labels is None else tuple(labels))
        fixed = {
            "images": images,
            "turns": tuple(Message(**turn) for turn in value["turns"]),
            "search": search,
            "boxes": boxes,
            "sampling": Sampling(**value["sampling"]),
            "stop": tuple(value["stop"]),
        }
        return cls(**{**value, **fixed})


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer: its bytes in Latin-1, so that JSON can hold them, and ln(probability)."""

    latin: str
    logprob: float

    @property
    def raw(self) -> bytes:
        """The token's own bytes, which may be a part of a character."""
        return self.latin.encode("latin-1")


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer under way; what was told is never taken back."""

    text: str
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """A whole answer.

    Attributes:
        text: All of it, box tokens included, without the token that ends it.
        rest: The part of it that no `Delta` has told.
        finish_reason: "stop", "length", or "loop" where it went in circles.
        prompt_tokens: Of the question, image tokens included.
        completion_tokens: That the model wrote.
        seconds: The answer's share of the model's time.
        prompt: What the user's last turn was.
        size_wh: Of the first image in pixels as stored; zeros without an image.
        status: "ok", "repaired" or "failed": how the answer could be read; "" where nobody looked.
        repairs: What was mended, or why reading failed.
        regions: Found things, in pixels of that image; () where nobody looked.
        tokens: Those of `text`, where they were wanted.
        rest_tokens: Those of `rest`.
    """

    text: str
    rest: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    prompt: str = ""
    size_wh: tuple[int, int] = (0, 0)
    status: str = ""
    repairs: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()
    tokens: tuple[Token, ...] = ()
    rest_tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer.

    Attributes:
        kind: "refused": the question can't be answered, and asking again won't help; "broken": it is our
            fault; "lost": the engine went away, and came back.
        message: For the client; names no path.
        code: What OpenAI's clients may look for, such as "context_length_exceeded".
    """

    kind: Literal["refused", "broken", "lost"]
    message: str
    code: str | None = None


Event = Delta | Done | Failed

_KINDS = {"delta": Delta, "done": Done, "failed": Failed}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def event_to_json(job: int, event: Event) -> JSONObject:
    """Give an event of a job as JSON."""
    return {"job": job, "event": _NAMES[type(event)], **asdict(event)}


def event_from_json(value: JSONObject) -> tuple[int, Event]:
    """Take what `event_to_json` gave: the job and the event."""
    job, kind = value.pop("job"), _KINDS[value.pop("event")]
    for name in ("tokens", "rest_tokens"):
        if name in value:
            value[name] = tuple(Token(**token) for token in value[name])
    if kind is Done:
        value["size_wh"] = tuple(value["size_wh"])
        value["repairs"] = tuple(value["repairs"])
        value["regions"] = tuple(
            Region(region["label"], tuple(region["box_xyxy_px"]), region["score"])
            for region in value["regions"]
        )
    return job, kind(**value)
