"""The web application: routes, and what stands around them.

Takes a service and options; gives an ASGI app. Routes are short: `chat`, `looking` and `images` beside this
hold what they mean. No `from __future__ import annotations`, because FastAPI reads the annotations of routes
that are made inside a function.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

from paddle_ground.errors import MissingExtraError
from paddle_ground.serve.chat import Reply, image_urls, jobs_of
from paddle_ground.serve.gate import Gate, headers_of
from paddle_ground.serve.images import ImageDoor
from paddle_ground.serve.jobs import Delta, Done, Job
from paddle_ground.serve.looking import found_json, job_of
from paddle_ground.serve.metrics import Metrics
from paddle_ground.serve.options import ServeOptions
from paddle_ground.serve.refusals import BadRequestError, GoneError, NotFoundError, RefusalError
from paddle_ground.serve.service import Service
from paddle_ground.serve.waiting import answers_of, events_of

T = TypeVar("T")

CHAT, GROUND, MODELS, HEALTH, METRICS = (
    "/v1/chat/completions",
    "/v1/ground",
    "/v1/models",
    "/health",
    "/metrics",
)


def create_app(service: Service, options: ServeOptions, door: ImageDoor | None = None) -> Any:
    """Make the application.

    Args:
        service: That answers; opened and closed by whoever made it.
        options: What is allowed.
        door: Where images come in; none for what the options say.

    Returns:
        An ASGI application.

    Raises:
        MissingExtraError: FastAPI or prometheus_client is not installed.
    """
    try:
        from fastapi import FastAPI, Request, Response
        from fastapi.exceptions import RequestValidationError
        from fastapi.responses import JSONResponse, StreamingResponse
        from starlette.exceptions import HTTPException

        metrics = Metrics(service)
    except ImportError as error:
        raise MissingExtraError("serving a model", str(error.name), "serve") from error
    from paddle_ground.serve import schemas

    images = door or ImageDoor(options)
    seconds = options.limits.seconds
    # Its pages of documentation would load scripts from elsewhere.
    app = FastAPI(
        title="paddle_ground", version="1", docs_url=None, redoc_url=None,
        description="An OpenAI-compatible server of visual-grounding models.",
    )  # fmt: skip
    refusals: Any = {
        code: {"description": text, "model": schemas.ErrorBody} for code, text in _REFUSALS.items()
    }

    @app.exception_handler(RefusalError)
    async def refused(request: Request, error: RefusalError) -> Response:
        return JSONResponse(error.to_json(), error.status, headers_of(error))

    @app.exception_handler(RequestValidationError)
    async def not_understood(request: Request, error: RequestValidationError) -> Response:
        return await refused(request, _explained(error.errors()))

    @app.exception_handler(HTTPException)
    async def not_here(request: Request, error: HTTPException) -> Response:
        known = NotFoundError("there is nothing at this path; see /openapi.json")
        other = BadRequestError(str(error.detail) if error.status_code < 500 else "the server failed")
        refusal = known if error.status_code == 404 else other
        return JSONResponse(refusal.to_json(), error.status_code, dict(error.headers or {}))

    @app.post(CHAT, responses=refusals)
    async def chat(body: schemas.ChatRequest, request: Request) -> Response:
        """Go on with a conversation about images."""
        _check_model(body.model, options)
        jobs = jobs_of(body, await images.take(image_urls(body)))
        reply = Reply(options.model_name)
        if body.stream:
            usage = bool(body.stream_options and body.stream_options.include_usage)
            stream = _sse(service, jobs, reply, seconds, usage, metrics)
            # Nothing is sent before there is something: until then, a refusal is a status of its own.
            first = await _unless_gone(request, anext(stream))
            return StreamingResponse(_with_first(first, stream), media_type="text/event-stream")
        answers = await _unless_gone(request, answers_of(service, jobs, seconds))
        return JSONResponse(reply.whole(answers, bool(body.logprobs)))

    @app.post(GROUND, responses=refusals)
    async def ground(body: schemas.GroundRequest, request: Request) -> Response:
        """Find things in an image: regions in its pixels, with scores."""
        if body.model is not None:
            _check_model(body.model, options)
        job = job_of(body, await images.take([body.image]))
        (answer,) = await _unless_gone(request, answers_of(service, [job], seconds))
        return JSONResponse(found_json(options.model_name, answer, body.min_score))

    @app.get(MODELS)
    async def models() -> dict[str, Any]:
        """Name the model."""
        return {"object": "list", "data": [_card(options, service)]}

    @app.get(MODELS + "/{name:path}", responses={404: refusals[404]})
    async def model(name: str) -> dict[str, Any]:
        """Tell of the model."""
        _check_model(name, options)
        return _card(options, service)

    @app.get(HEALTH, responses={503: {"description": "The engine is not there now."}})
    async def health() -> Response:
        """Tell whether questions are answered now."""
        return JSONResponse({"status": service.state}, 200 if service.state == "ready" else 503)

    @app.get(METRICS)
    async def counts() -> Response:
        """Count, for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    counted = frozenset({CHAT, GROUND, MODELS, HEALTH, METRICS})
    app.add_middleware(Gate, options=options, service=service, metrics=metrics, paths=counted)
    return app


_REFUSALS = {
    400: "The request can't be used as it is.",
    401: "No API key, or a wrong one.",
    403: "An image from where none are taken.",
    404: "No such model.",
    408: "The body came too slowly.",
    413: "Too many bytes or pixels.",
    422: "Never given; a request that can't be used is 400.",
    429: "As much to do as may wait; `Retry-After` tells when to ask again.",
    500: "Our fault.",
    503: "The engine is not there now.",
    504: "The answer took too long.",
}


def _check_model(name: str, options: ServeOptions) -> None:
    if name != options.model_name:
        raise NotFoundError(
            f"this server has no such model; it has {options.model_name!r}", "model", "model_not_found"
        )


def _card(options: ServeOptions, service: Service) -> dict[str, Any]:
    card = dict(service.card)
    length = card.pop("max_context", None)
    about = {"object": "model", "created": 0, "owned_by": "paddle_ground"}
    return {"id": options.model_name, **about, "max_model_len": length, "grounding": card}


def _explained(problems: Any) -> BadRequestError:
    """Name the field, and what is wrong with it; what was sent is not repeated."""
    first = problems[0]
    path = [str(part) for part in first.get("loc", ()) if part != "body"]
    field = ".".join(path)[:200] or None
    message = str(first.get("msg", "not understood"))[:300]
    if first.get("type") == "json_invalid":
        return BadRequestError("the body is not JSON", None, "invalid_json")
    return BadRequestError(f"{field}: {message}" if field else message, field)


async def _unless_gone(request: Any, work: Awaitable[T]) -> T:
    """Wait for work, and let it go as soon as the client is gone."""
    task = asyncio.ensure_future(work)

    async def until_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    gone = asyncio.ensure_future(until_gone())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise GoneError
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _sse(
    service: Service, jobs: list[Job], reply: Reply, seconds: float, usage: bool, metrics: Metrics
) -> AsyncIterator[str]:
    """Write a stream as server-sent events."""
    start, is_first = time.perf_counter(), True
    answers: dict[int, Done] = {}
    is_begun = False
    logprobs = jobs[0].logprobs
    try:
        async with aclosing(events_of(service, jobs, seconds)) as events:  # type: ignore[type-var]
            async for at, event in events:
                if is_first:
                    metrics.first_token(time.perf_counter() - start)
                    is_first = False
                    for index in range(len(jobs)):
                        yield _line(reply.first(index))
                        is_begun = True
                if isinstance(event, Delta):
                    yield _line(reply.of_delta(at, event, logprobs))
                    continue
                answers[at] = event
                if event.rest or event.rest_tokens:
                    yield _line(reply.piece(at, event.rest, event.rest_tokens, logprobs))
                yield _line(reply.last(at, event))
    except RefusalError as error:
        if not is_begun:
            raise
        yield _line(error.to_json())
        return
    if usage:
        yield _line(reply.usage_only([answers[at] for at in range(len(jobs))]))
    yield "data: [DONE]\n\n"


async def _with_first(first: str, rest: Any) -> AsyncIterator[str]:
    async with aclosing(rest):
        yield first
        async for line in rest:
            yield line


def _line(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
