"""Names below the folder of runs: what they lead to, and that they lead nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddle_ground.errors import ConfigError, PaddleGroundError
from paddle_ground.web.evaluate import Evaluator
from paddle_ground.web.evaluation import Evaluation, EvaluationFiles, find_file, list_evaluations
from paddle_ground.web.exporting import Export, default_out, export_step, serve_lines
from paddle_ground.web.run_folders import find_model, list_models, new_folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Models, an adapter, things that are none, and a link out."""
    root = (tmp_path / "runs").resolve()
    outside = tmp_path / "outside"
    for folder, names in {
        root / "a": ("config.json", "model.safetensors"),
        root / "a/checkpoint-90": ("config.json", "model.safetensors"),
        root / "a/checkpoint-100": ("config.json", "model.safetensors"),
        # PaddleFormers writes the base's configuration beside an adapter.
        root / "lora": ("config.json", "lora_config.json", "peft_model-00001-of-00001.safetensors"),
        root / ".hidden": ("config.json", "model.safetensors"),
        root / "empty": ("config.json",),
        outside: ("config.json", "model.safetensors"),
    }.items():
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).write_text("{}")
    (root / "link").symlink_to(outside)
    return root


def test_models_are_found_in_order_and_links_are_not_followed(runs) -> None:
    models = ["a", "a/checkpoint-90", "a/checkpoint-100"]
    assert list_models(runs) == models
    assert list_models(runs, adapters=True) == [*models, "lora"]
    assert find_model(runs, "lora", adapters=True) == runs / "lora"
    for name in ("lora", "link", "../outside", str(runs / "a"), "a/../a", "", None, "empty", ".hidden"):
        with pytest.raises(ConfigError, match="no such model"):
            find_model(runs, name)


BAD_NAMES = (
    "", "..", "../out", "a/../../out", "/etc", "exported//x", ".hidden", "x/.y", "x\0y", "x\ny", "-rf",
    "link", "link/x", "a", "x" * 101, "猫" * 90, "a/b/c/d/e/f/g", "c:\\x", "a/config.json", "~/x", "$HOME",
)  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_new_folder_is_below_the_root_or_nowhere(runs, name) -> None:
    with pytest.raises(ConfigError):
        new_folder(runs, name)


def test_a_new_folder_may_be_deep_or_empty(runs) -> None:
    assert new_folder(runs, " exported/猫 ".strip()) == runs / "exported/猫"
    (runs / "bare").mkdir()
    assert new_folder(runs, "bare") == runs / "bare"


def test_the_export_command_is_the_one_of_the_command_line(runs) -> None:
    step, out = export_step(runs, Export("lora", "exported/lora", "500MB", "bfloat16"))
    assert out == runs / "exported/lora"
    assert step.words == (
        "export", str(runs / "lora"), str(out), "--max-shard-size", "500MB", "--dtype", "bfloat16",
    )  # fmt: skip
    assert default_out("a/checkpoint-90") == "exported/a-checkpoint-90"
    assert default_out(".") == "exported/model"
    assert "vllm serve runs/exported/lora\n" in serve_lines(runs, out)


@pytest.mark.parametrize(
    "export",
    [
        Export("link", "x"), Export(None, "x"), Export("a", None), Export("a", "../x"), Export("a", "a/x"),
        Export("a", "x", "--dtype"), Export("a", "x", ""), Export("a", "x", dtype="--base"),
        Export("a", "x", evaluation="../.."), Export("a", "x", evaluation="nowhere"),
    ],
)  # fmt: skip
def test_an_export_that_cannot_be_is_refused(runs, export) -> None:
    with pytest.raises(ConfigError):
        export_step(runs, export)


def test_evaluations_have_names_of_their_own(runs) -> None:
    names = {
        Evaluation(*one).name
        for one in (
            ("a", "x/val.jsonl"), ("a", "x-val.jsonl"), ("a/x", "val.jsonl"), ("a", "x/val.jsonl", 5),
            ("a", "猫.jsonl"), ("../../a", "/etc/x"), ("m" * 500, "s" * 500), ("模" * 60, "样" * 60, 10**9),
        )
    }  # fmt: skip
    assert len(names) == 8
    assert all("/" not in name and len(name) < 200 for name in names)
    for name in names:
        (runs / name).mkdir()  # no longer than a file system takes, in bytes
    assert "猫" in Evaluation("a", "猫.jsonl").name


def test_the_evaluation_is_the_commands_of_the_command_line(tmp_path) -> None:
    samples = tmp_path / "val.jsonl"
    samples.write_text("{}\n{}\n{}\n")
    files = EvaluationFiles(tmp_path / "out", tmp_path / "model", samples, 2)
    assert [step.words[0] for step in files.steps] == ["predict", "eval"]  # no boxes, no report
    (tmp_path / "val.truth.json").write_text("{}")
    out, model, predictions = (str(tmp_path / name) for name in ("out", "model", "out/predictions.jsonl"))
    assert [step.words for step in files.steps] == [
        ("predict", str(samples), model, "--output", predictions, "--limit", "2"),
        ("eval", predictions, str(samples), "--output", out, "--only-predicted"),
        ("report", predictions, "--truth", str(samples), "--output", out, "--only-predicted"),
    ]
    assert (files.total(), files.answered()) == (2, 0)
    whole = EvaluationFiles(tmp_path / "out", tmp_path / "model", samples, None)
    assert not [
        word for step in whole.steps for word in step.words if word in ("--limit", "--only-predicted")
    ]


def test_earlier_answers_stay_unless_they_shall_go(tmp_path) -> None:
    evaluation = Evaluation("m", "val.jsonl")
    files = EvaluationFiles(tmp_path, tmp_path / "model", tmp_path / "val.jsonl", None)
    kept = ("predictions.jsonl", "predictions.run.json")
    for name in (*kept, "metrics.json", "index.html"):
        (tmp_path / name).write_text("")
    files.prepare(evaluation, anew=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evaluation.json", *kept]
    files.prepare(evaluation, anew=True)
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]


def test_only_evaluations_are_listed_and_opened(runs, tmp_path) -> None:
    one = Evaluation("a", "val.jsonl", 3)
    folder = runs / "evaluations" / one.name
    folder.mkdir(parents=True)
    EvaluationFiles(folder, runs / "a", tmp_path / "val.jsonl", 3).prepare(one, anew=False)
    assert list_evaluations(runs) == []  # it has not ended
    for path in (folder / "metrics.json", tmp_path / "outside/index.html", runs / "evaluations/metrics.json",
                 runs / "index.html", runs / "evaluations/index.html", runs / "a/index.html"):  # fmt: skip
        path.write_text("{}")
    (runs / "evaluations/link").symlink_to(tmp_path / "outside")
    assert list_evaluations(runs) == [one]
    assert find_file(runs, one.name, "metrics.json") == folder / "metrics.json"
    for name in ("link", "..", ".", "...", "../a", "a/b", "", None, one.name + "\n"):
        with pytest.raises(ConfigError):
            find_file(runs, name, "index.html")


def test_evaluations_that_lead_out_are_not_written(runs, tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/val.jsonl").write_text("{}\n")
    (runs / "evaluations").symlink_to(tmp_path / "outside")
    evaluator = Evaluator(runs, tmp_path / "data")
    for model, samples in (("a", "val.jsonl"), ("a", "../x.jsonl"), ("b", "val.jsonl")):
        with pytest.raises(PaddleGroundError):
            evaluator.start(model, samples, None, anew=True)
    assert not list((tmp_path / "outside").glob("*val*"))
    assert evaluator.work.standing.state == "new"
