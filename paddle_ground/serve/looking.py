"""`/v1/ground`: a phrase or classes to a job, and a whole answer to regions in pixels.

Takes checked requests; gives jobs and JSON. Knows neither the web framework nor the engine.
"""

from __future__ import annotations

from typing import Any

from paddle_ground.serve.chat import sampling_of, usage
from paddle_ground.serve.jobs import Done, Job, Search
from paddle_ground.serve.refusals import BadRequestError
from paddle_ground.serve.schemas import GroundRequest


def job_of(request: GroundRequest, images: tuple[bytes, ...]) -> Job:
    """Give the job.

    Raises:
        BadRequestError: Both a phrase and classes, or names that can't be asked for.
    """
    if request.phrase is not None and request.classes is not None:
        raise BadRequestError("give a phrase or classes, not both", "phrase")
    if any(len(name) > 200 for name in request.classes or ()):
        raise BadRequestError("a class name has more than 200 characters", "classes")
    query = request.phrase if request.classes is None else tuple(request.classes)
    return Job(
        images,
        search=Search(query, request.lang),
        constrained=request.constrained,
        max_tokens=request.max_tokens,
        sampling=sampling_of(request),
    )


def found_json(model: str, answer: Done, min_score: float) -> dict[str, Any]:
    """Give the response: the same names as `paddle-ground ground --json`."""
    return {
        "object": "grounding",
        "model": model,
        "regions": [
            {"label": region.label, "box_xyxy_px": list(region.box_xyxy_px), "score": region.score}
            for region in answer.regions
            if (1.0 if region.score is None else region.score) >= min_score
        ],
        "size_wh": list(answer.size_wh),
        "status": answer.status,
        "repairs": list(answer.repairs),
        "finish_reason": answer.finish_reason,
        "prompt": answer.prompt,
        "text": answer.text,
        "usage": usage([answer]),
        "seconds": round(answer.seconds, 4),
    }
