"""Ask a trained model: requests to answers, answers to regions in pixels, files to files.

Takes model folders, images and questions, or a samples file; gives regions, or a predictions file.
Does not know: training, metrics, pictures drawn. Importing it costs nothing; Paddle comes with the first
model that is loaded.
"""

from __future__ import annotations

from paddle_ground.infer.engine import Engine
from paddle_ground.infer.grounding import Grounding, ground
from paddle_ground.infer.predict import predict
from paddle_ground.infer.progress import PredictReport
from paddle_ground.infer.request import Answer, Request
from paddle_ground.infer.sampling import Sampling
from paddle_ground.infer.shipped import default_model, named_or_default, which_model

__all__ = [
    "Answer", "Engine", "Grounding", "PredictReport", "Request", "Sampling", "default_model", "ground",
    "named_or_default", "predict", "which_model",
]  # fmt: skip
