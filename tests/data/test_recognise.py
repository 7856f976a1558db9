"""Which format lies where: one fits, several fit, none fits; and how the command says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from paddle_ground.cli import app
from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.readers import Format, formats
from paddle_ground.data.recognise import find_format, recognise
from paddle_ground.errors import ConfigError, DataError, PaddleGroundError
from paddle_ground.records import read_meta


def make_format(name: str, suffix: str) -> Format:
    """Make a format that is recognised by a file with a suffix."""

    def look(path: Path) -> str | None:
        return f"a {suffix} file" if any(path.glob(f"*{suffix}")) else None

    def never(path: Path, options: object) -> object:
        raise AssertionError("recognising opens nothing")

    return Format(name, name.upper(), look, never)


KNOWN = (make_format("voc", ".xml"), make_format("yolo", ".txt"))


def test_the_only_format_that_fits_is_taken_with_its_reason(tmp_path):
    (tmp_path / "a.xml").touch()
    found = recognise(tmp_path, known=KNOWN)
    assert str(found) == "format: VOC, by --from voc (a .xml file)"
    assert str(recognise(tmp_path, "yolo", KNOWN)) == "format: YOLO, by --from yolo (as told)"


def test_several_formats_that_fit_are_listed_with_their_reasons(tmp_path):
    (tmp_path / "a.xml").touch()
    (tmp_path / "a.txt").touch()
    with pytest.raises(
        DataError,
        match=r"several formats fit; choose one: --from voc \(a \.xml file\); --from yolo \(a \.txt file\)",
    ):
        recognise(tmp_path, known=KNOWN)


def test_what_nobody_knows_is_named_with_a_guess(tmp_path):
    inner = tmp_path / "labels"
    inner.mkdir()
    for name in ("1.txt", "2.txt", "3.TXT", "4.doc", "README", ".hidden.xml"):
        (inner / name).touch()
    message = r"found 3 \.txt, 1 without suffix, 1 \.doc, expected one of voc, yolo; .* --from yolo"
    with pytest.raises(DataError, match=message):
        recognise(tmp_path, known=KNOWN)
    with pytest.raises(DataError, match=r"found nothing, expected one of voc, yolo$"):
        recognise(_empty(tmp_path), known=KNOWN)


def _empty(root: Path) -> Path:
    (root / "empty").mkdir()
    return root / "empty"


def test_a_folder_of_data_sets_of_other_formats_is_not_taken_for_one(tmp_path):
    def anywhere(path: Path) -> str | None:
        return "label files" if any(path.rglob("*.txt")) else None

    known = (KNOWN[0], Format("yolo", "YOLO", anywhere, KNOWN[1].open))
    for name, file in (("mine", "a.txt"), ("theirs", "a.xml"), ("pictures", "a.jpg"), (".git", "b.xml")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    message = (
        r"several data sets in it: mine \(yolo\), theirs \(voc\); give one of these folders, or --from yolo"
    )
    with pytest.raises(DataError, match=message):
        recognise(tmp_path, known=known)
    assert recognise(tmp_path / "mine", known=known).format.name == "yolo"
    assert recognise(tmp_path, "yolo", known).reason == "as told"
    (tmp_path / "theirs" / "a.txt").touch()  # Then both are there, and one format is in all of it.
    assert recognise(tmp_path, known=known).format.name == "yolo"


def test_folders_in_a_folder_that_nobody_knows_are_named(tmp_path):
    for name in "abcdef":
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.xml").touch()
    message = r"in it are data sets: a \(voc\), b \(voc\), c \(voc\), d \(voc\) and 2 more; give one"
    with pytest.raises(DataError, match=message):
        recognise(tmp_path, known=KNOWN)


def test_real_folders_of_several_data_sets_are_named(shared_data):
    with pytest.raises(DataError, match=r"chess \(voc\), sharks-tiny-coco \(coco_json\), sharks-tiny-yolov9"):
        recognise(shared_data / "roboflow_exports")


@pytest.mark.parametrize("told", ["auto", "swift", "odvg", "llamafactory"])
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train.jsonl", '{"messages": [}\n', r"train\.jsonl:1: not valid JSON"),
        ("train.jsonl", '\n\n{"messages": [}\n', r"train\.jsonl:3: not valid JSON"),
        ("rows.json", '[\n{"image": "a.jpg", "conversations": ]\n}]', r"rows\.json:2: not valid JSON"),
    ],
)
def test_a_file_that_breaks_at_once_is_named_with_its_line(tmp_path, told, name, text, message):
    (tmp_path / name).write_text(text)
    (tmp_path / "config.json").write_text('{\n "is": "no rows"\n}')
    with pytest.raises(DataError, match=message):
        prepare(PrepareOptions(tmp_path / "out", source=tmp_path, source_format=told))


def test_a_name_that_nobody_has_is_told_the_nearest():
    with pytest.raises(ConfigError, match="unknown format 'yollo'; did you mean 'yolo'"):
        find_format("yollo", KNOWN)
    with pytest.raises(ConfigError, match="unknown format 'parquet'"):
        find_format("parquet", KNOWN)


def test_a_recogniser_that_stumbles_recognises_nothing(tmp_path):
    def stumble(path: Path) -> str | None:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "broken")

    broken = Format("broken", "Broken", stumble, KNOWN[0].open)
    (tmp_path / "a.xml").touch()
    assert recognise(tmp_path, known=(broken, *KNOWN)).format.name == "voc"


def test_every_registered_format_is_named_once():
    names = [one.name for one in formats()]
    assert "coco_parquet" in names
    assert len(set(names)) == len(names)


def test_coco_parquet_is_known_by_its_columns(source_dir, tmp_path, one_shard, make_row):
    assert recognise(source_dir).reason == "4 *.parquet with the columns image and objects"
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "train-0.parquet").write_bytes(b"PAR1")
    assert "none of them can be read" in recognise(broken).reason


def test_other_parquet_is_not_taken_for_coco(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "train-0.parquet")
    assert formats()[0].recognise(tmp_path) is None


def test_one_shard_is_a_data_set(source_dir, tmp_path):
    shard = source_dir / "data" / "train-00001-of-00003.parquet"
    report = prepare(PrepareOptions(tmp_path / "out", source=shard, val_ratio=0.0))
    assert [(result.split, result.counts["kept"]) for result in report.splits] == [("train", 10)]
    assert read_meta(tmp_path / "out" / "train.meta.json").source == shard.name


def test_the_command_takes_two_places(source_dir, tmp_path):
    run = CliRunner().invoke(app, ["prepare", str(source_dir), str(tmp_path / "out")], catch_exceptions=False)
    assert run.exit_code == 0
    assert run.output.startswith(
        "format: COCO parquet (detection-datasets/coco), by --from coco_parquet (4 *"
    )
    assert (tmp_path / "out" / "val.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "--source", "b"), "SRC is a and --source is b; give one of the two"),
        (("a", "b", "--output_dir", "c"), "OUT is b and --output-dir is c; give one of the two"),
        (("a", "b", "--from", "coco_parkett"), "did you mean 'coco_parquet'"),
        (("a", "b"), "a: no such folder"),
    ],
)
def test_places_that_contradict_are_refused(arguments, message):
    with pytest.raises(PaddleGroundError, match=message):
        CliRunner().invoke(app, ["prepare", *arguments], catch_exceptions=False)
