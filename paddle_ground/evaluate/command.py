"""The `eval` command: predictions and what is true in, tables and files out.

Takes flags; tells boxes from texts, scores, compares, prints. Everything that counts is done elsewhere:
`domains` for boxes, `text_files` for texts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paddle_ground.errors import EvaluationError

if TYPE_CHECKING:
    from paddle_ground.evaluate.domains import Measured, Scoring


def evaluate_command(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="PREDICTIONS SAMPLES",
            help="predictions.jsonl of `predict`, and the samples that were predicted or their .truth.json. "
            "With --compare: A B SAMPLES.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for metrics.json.")] = Path("report"),
    iou: Annotated[float, typer.Option(help="IoU from which on a box counts as found.")] = 0.5,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare two predictions files of the same samples.")
    ] = False,
    only_predicted: Annotated[
        bool,
        typer.Option(
            "--only-predicted", help="After `predict --limit`: leave out images without a prediction."
        ),
    ] = False,
    out_of_domain: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PREDICTIONS:SAMPLES",
            help="Other data, to see forgetting; NAME=A:B:SAMPLES with --compare. May be repeated.",
        ),
    ] = None,
    text: Annotated[
        bool, typer.Option("--text", help="Score texts (BLEU, ROUGE); known by itself where no boxes are.")
    ] = False,
    resamples: Annotated[int, typer.Option(min=1, help="Drawings of the bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    classes: Annotated[int, typer.Option(min=0, help="Classes in the table; metrics.json has all.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Score predictions against the exact boxes, or answers against the texts that were expected.

    \b
    Examples:
      paddle-ground eval runs/demo/predictions.jsonl data/coco/val.jsonl
      paddle-ground eval predictions.jsonl val.truth.json --iou 0.75 --output report
      paddle-ground eval --compare before.jsonl after.jsonl val.truth.json
      paddle-ground eval new.jsonl val.jsonl --out-of-domain coco=new_coco.jsonl:coco/val.jsonl
      paddle-ground eval answers.jsonl qa.json
    """
    from paddle_ground.evaluate.domains import Scoring

    *predictions, samples = _in_order(files, 2 if compare else 1)
    if text or _is_text(samples):
        if out_of_domain:
            raise EvaluationError("--out-of-domain is for boxes; score other texts in a run of their own")
        from paddle_ground.evaluate.text_files import report_texts

        typer.echo(report_texts(predictions, samples, output, resamples, seed, as_json=as_json))
        return
    if compare and only_predicted:
        raise EvaluationError("--only-predicted is for one model; let both predict the same samples")
    scoring = Scoring(iou, resamples, seed, classes, only_predicted)
    typer.echo(_report_boxes(predictions, samples, output, out_of_domain or [], scoring, as_json))


def _report_boxes(
    predictions: list[Path],
    samples: Path,
    output: Path,
    out_of_domain: list[str],
    scoring: Scoring,
    as_json: bool,
) -> str:
    from paddle_ground.evaluate.domains import Domain, measure, parse_domain
    from paddle_ground.evaluate.table import render_table

    others = [parse_domain(one, len(predictions)) for one in out_of_domain]  # before any work is done
    names = [one.name for one in others]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise EvaluationError(f"--out-of-domain names {twice!r} twice; give each set its own name")
    measured = [measure(Domain("", tuple(predictions), samples), output, scoring)]
    measured += [measure(one, output / "out_of_domain" / one.name, scoring) for one in others]
    if as_json:
        return _as_json(measured)
    parts = [one.render(scoring.classes) for one in measured]
    if len(measured) > 1 or len(predictions) > 1:
        parts.append(render_table([row for one in measured for row in one.rows()]))
    return "\n\n".join(parts)


def _as_json(measured: list[Measured]) -> str:
    document = measured[0].to_json()
    if len(measured) > 1:
        document["out_of_domain"] = {one.domain.name: one.to_json() for one in measured[1:]}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def _in_order(files: list[Path], predictions: int) -> list[Path]:
    """Give the predictions first and the samples last; `A SAMPLES --compare B` is understood, too."""
    if len(files) != predictions + 1:
        wanted = "A B SAMPLES" if predictions == 2 else "PREDICTIONS SAMPLES (--compare for two models)"
        raise EvaluationError(f"{len(files)} files given; expected {wanted}")
    if predictions == 2 and _has_truth(files[1]) and not _has_truth(files[2]):
        return [files[0], files[2], files[1]]
    return files


def _has_truth(path: Path) -> bool:
    from paddle_ground.records import truth_path

    return path.suffix == ".json" or (path.suffix == ".jsonl" and truth_path(path).is_file())


def _is_text(samples: Path) -> bool:
    """Whether these are texts: a list of Alpaca records, or samples without a truth or any box."""
    if not samples.is_file():
        return False
    if samples.suffix == ".json":
        with samples.open(encoding="utf-8-sig", errors="replace") as stream:
            return stream.read(4096).lstrip().startswith("[")
    from paddle_ground.records import meta_path, read_meta

    meta = meta_path(samples)
    if meta.is_file() and read_meta(meta).answers == "text":
        return True
    if _has_truth(samples):
        return False
    from paddle_ground.answers import parse
    from paddle_ground.records import read_samples

    return not any(sample.boxes or parse(sample.target).regions for sample in read_samples(samples))
