"""How long a run takes: floating-point operations, and hours at a stated share of a stated peak.

Takes a model's size, a `Setup` and a `Schedule`; gives a `Duration`. A multiplication and an addition are
two operations. After Kaplan et al., "Scaling Laws for Neural Language Models" (2020), section 2.1, and
Chowdhery et al., "PaLM" (2022), appendix B: 2 a weight and token forward, the same again for the gradient of
the inputs and for that of the weights; attention 4 L q c forward, c tokens of context (not halved for
causality, as in PaLM), and twice that backward. What is frozen has no gradient of weights; recompute runs the
layers forward once more. Knows no memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from paddle_ground.train.plan.memory import Setup
from paddle_ground.train.plan.model_size import ModelSize
from paddle_ground.train.plan.settings import Schedule


@dataclass(frozen=True, slots=True)
class Duration:
    """What a run costs in time.

    Attributes:
        steps: Optimizer steps; None where they are unknown.
        tokens_a_step: Of all GPUs, padding included.
        flops_a_step: Floating-point operations of all GPUs.
        seconds_a_step: At the stated utilisation.
        tokens_a_second: Of one GPU: all tokens of a step by GPUs and seconds.
        hours: Of the whole run; None where the steps are unknown.
    """

    steps: int | None
    tokens_a_step: float
    flops_a_step: float
    seconds_a_step: float
    tokens_a_second: float
    hours: float | None


def decoder_token_flops(model: ModelSize, setup: Setup, context: float) -> float:
    """Count the operations of one token through decoder and head, forward and backward.

    Args:
        model: Its size.
        setup: What learns, and whether layers are run twice.
        context: Tokens that it attends among.
    """
    layers = sum(p.count for p in model.parameters if ".layers." in p.name and len(p.shape) == 2)
    head = model.vocabulary * model.hidden
    attention = 4 * model.layers * model.query * context
    forward = 2 * layers + attention
    learns = "llm" not in setup.frozen and not setup.lora_rank
    backward = 2 * layers * (2 if learns else 1) + 2 * attention
    again = forward if setup.recompute else 0
    return forward + backward + again + 2 * head * (3 if learns else 2)


def vision_token_flops(model: ModelSize, setup: Setup) -> float:
    """Count the operations of one visual token through the vision tower and the mergers.

    Attention among the patches of an image is counted for one of 768 x 768 pixels (see `towers`).
    """
    patches = model.merge**2
    blocks = sum(p.count for p in model.parameters if p.part == "vision" and len(p.shape) > 1)
    blocks -= next((p.count for p in model.parameters if p.name.endswith("pos_embed.weight")), 0)
    aligner = sum(p.count for p in model.parameters if p.part == "aligner" and len(p.shape) == 2)
    tower = patches * (2 * blocks + 4 * model.vision_layers * model.vision_hidden * model.vision_context)
    tower *= (4 if setup.recompute else 3) if "vision" not in setup.frozen else 1
    below = 3 if {"vision", "aligner"} - setup.frozen else 1
    return tower + 2 * aligner * below


def duration(
    model: ModelSize, setup: Setup, schedule: Schedule, gpus: int, utilisation: float, peak_tflops: float
) -> Duration:
    """Compute a run's time.

    Args:
        model: Its size.
        setup: What learns.
        schedule: How much is computed.
        gpus: That work on it.
        utilisation: Share of the peak that is reached, 0..1, recomputed operations counted as work.
        peak_tflops: Of one GPU, dense, in the run's precision.
    """
    tokens = schedule.rows_a_step * schedule.tokens_a_row
    flops = tokens * decoder_token_flops(model, setup, schedule.context)
    flops += tokens * schedule.image_share * vision_token_flops(model, setup)
    seconds = flops / (gpus * utilisation * peak_tflops * 1e12)
    hours = None if schedule.steps is None else schedule.steps * seconds / 3600
    return Duration(schedule.steps, tokens, flops, seconds, tokens / seconds / gpus, hours)
