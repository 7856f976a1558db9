"""The shapes of requests, as OpenAI's clients send them; what can't be kept is refused, not passed over.

Takes JSON; gives checked objects. Fields that change the answer and aren't offered are known by name, and
refused unless they say what happens anyway. Imported with the first app only: pydantic comes with FastAPI.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

MAX_CHOICES = 16
_MAX_SEED = 2**63 - 1

# OpenAI's fields that are not offered, and the values that ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logit_bias": (None, {}),
    "top_logprobs": (None, 0),
    "tools": (None, []),
    "functions": (None, []),
    "tool_choice": (None, "none", "auto"),
    "function_call": (None, "none", "auto"),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "prediction": (None,),
    "web_search_options": (None,),
}


def _whole(text: str) -> str:
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError("half a surrogate pair; it is no valid Unicode")  # no tokenizer takes it
    return text


Text = Annotated[str, AfterValidator(_whole)]
"""What reaches the model, or is looked for in its answer."""


class Strict(BaseModel):
    """No field that isn't known, no text where a number is meant."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class TextPart(Strict):
    """A piece of text."""

    type: Literal["text"]
    text: Text


class ImageURL(Strict):
    """Where an image is: a `data:` URL, or what the server allows."""

    url: str
    detail: Literal["auto", "low", "high"] | None = Field(None, description="Passed over.")


class ImagePart(Strict):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageURL


class Turn(Strict):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart | ImagePart]
    name: str | None = Field(None, description="Passed over.")
    refusal: str | None = Field(None, description="Passed over.")


class JSONSchema(Strict):
    """A schema with its name."""

    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(Strict):
    """Plain text, or boxes as JSON."""

    type: Literal["text", "json_schema"]
    json_schema: JSONSchema | None = None


class StreamOptions(Strict):
    """What else a stream tells."""

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class Drawing(Strict):
    """How tokens are chosen; the likeliest where nothing is said, because that finds things best."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-_MAX_SEED, le=_MAX_SEED)


class ChatRequest(Drawing):
    """A request to `/v1/chat/completions`."""

    model: str
    messages: list[Turn] = Field(min_length=1, max_length=200)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000)
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    stop: Text | list[Text] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    response_format: ResponseFormat | None = None
    constrained: bool | None = Field(
        None,
        description="Hold the answer to the model's own format. Ours; by default for its own prompt only.",
    )
    frequency_penalty: float | None = Field(None, description="Only 0.")
    presence_penalty: float | None = Field(None, description="Only 0.")
    logit_bias: dict[str, Any] | None = Field(None, description="Only {}.")
    top_logprobs: int | None = Field(None, description="Only 0.")
    tools: list[Any] | None = Field(None, description="Only [].")
    functions: list[Any] | None = Field(None, description="Only [].")
    tool_choice: Any = Field(None, description="Only none or auto.")
    function_call: Any = Field(None, description="Only none or auto.")
    modalities: list[str] | None = Field(None, description="Only text.")
    audio: Any = Field(None, description="Only null.")
    prediction: Any = Field(None, description="Only null.")
    web_search_options: Any = Field(None, description="Only null.")
    parallel_tool_calls: bool | None = Field(None, description="Passed over, as all below.")
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None

    @field_validator(*_NEUTRAL)
    @classmethod
    def _asks_for_nothing(cls, value: Any, info: Any) -> Any:
        if not any(value == neutral and type(value) is not bool for neutral in _NEUTRAL[info.field_name]):
            raise ValueError("this server does not offer it; leave it out")
        return value

    @field_validator("stop")
    @classmethod
    def _can_stop(cls, value: str | list[str] | None) -> str | list[str] | None:
        words = [value] if isinstance(value, str) else value or []
        if len(words) > 4 or not all(0 < len(word) <= 200 for word in words):
            raise ValueError("up to four texts of 1 to 200 characters")
        return value

    @property
    def stop_words(self) -> tuple[str, ...]:
        """What ends an answer."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class GroundRequest(Drawing):
    """A request to `/v1/ground`: an image, and what to look for in it."""

    model: str | None = None
    image: str = Field(description="A `data:` URL, or what the server allows.")
    phrase: str | None = Field(None, max_length=2000, description="What to look for, in words.")
    classes: list[Text] | None = Field(None, min_length=1, max_length=1000, description="Or by names.")
    lang: Literal["en", "zh"] = Field("en", description="Language of the prompt around it.")
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    min_score: float = Field(0.0, ge=0, le=1, description="Leave out regions that score less.")
    constrained: bool | None = Field(None, description="False: let the model write whatever it wants.")


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every refusal, as OpenAI's clients read it."""

    error: ErrorDetail
