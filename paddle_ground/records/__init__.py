"""The contracts between the stages: what is written to disk, read back and checked.

Takes lines and files, gives frozen dataclasses, and the other way round. Knows no model and no picture.

    samples.jsonl            `Sample`           what training and prediction read
    samples.meta.json        `SamplesMeta`      how it was made
    samples.truth.json       `Truth`            exact pixel boxes, COCO JSON
    predictions.jsonl        `Prediction`       what a model answered
    <model>/grounding.json   `GroundingConfig`  how a model must be asked
"""

from __future__ import annotations

from paddle_ground.records.meta import (
    GroundingConfig,
    SamplesMeta,
    meta_path,
    read_grounding,
    read_meta,
    truth_path,
    write_grounding,
    write_meta,
)
from paddle_ground.records.predictions import (
    Prediction,
    PredictionSink,
    Region,
    prediction_from_line,
    prediction_to_line,
    read_predictions,
)
from paddle_ground.records.samples import (
    Message,
    Sample,
    read_samples,
    resolve_image,
    sample_from_line,
    sample_to_line,
    write_samples,
)
from paddle_ground.records.spaces import samples_space
from paddle_ground.records.truth import (
    Category,
    Truth,
    TruthBox,
    TruthImage,
    TruthWriter,
    number_box_line,
    number_image_line,
    read_truth,
    truth_box_to_line,
    truth_image_to_line,
    write_truth,
)

__all__ = [
    "Category",
    "GroundingConfig",
    "Message",
    "Prediction",
    "PredictionSink",
    "Region",
    "Sample",
    "SamplesMeta",
    "Truth",
    "TruthBox",
    "TruthImage",
    "TruthWriter",
    "meta_path",
    "number_box_line",
    "number_image_line",
    "prediction_from_line",
    "prediction_to_line",
    "read_grounding",
    "read_meta",
    "read_predictions",
    "read_samples",
    "read_truth",
    "resolve_image",
    "sample_from_line",
    "sample_to_line",
    "samples_space",
    "truth_box_to_line",
    "truth_image_to_line",
    "truth_path",
    "write_grounding",
    "write_meta",
    "write_samples",
    "write_truth",
]
