"""From unlabelled images to a prepared data set, with a teacher that follows a script."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from paddle_ground.data.distill.agreement import AgreementOptions
from paddle_ground.data.distill.options import AskOptions, Endpoint, chat_url, questions_of
from paddle_ground.data.distill.run import DistillOptions, distill
from paddle_ground.data.distill.wording import suspect_space
from paddle_ground.data.options import PrepareOptions
from paddle_ground.errors import ConfigError, DataError
from paddle_ground.records import read_meta, read_samples, read_truth

KEY = "sk-very-secret-0123456789"
CAT = ("cat", 100, 200, 500, 800)  # Of 200 x 100 pixels: 20, 20 to 100, 80.


@pytest.fixture
def options(teacher, make_images, tmp_path):
    """Function that gives options for so many images; further ones are those of `AskOptions`."""

    def make(count=4, names=("cat", "dog"), phrases=(), prompt=None, **further):
        asking = AskOptions(questions_of(names, phrases, prompt), names, **further)
        endpoint = Endpoint(chat_url(teacher.url), "big", KEY, retries=2, first_pause=0.001, timeout=5)
        prepare = PrepareOptions(tmp_path / "out", val_ratio=0.0)
        return DistillOptions(
            make_images(count), endpoint, asking, AgreementOptions(), prepare, concurrency=3
        )

    return make


def labels(tmp_path: Path) -> dict[str, dict]:
    rows = map(json.loads, (tmp_path / "out/distill/labels.jsonl").read_text().splitlines())
    return {row["file"]: row for row in rows}


def test_jitter_disagreement_and_nothing(teacher, options, said, tmp_path):
    def script(asked):
        number = asked.body["seed"]
        if asked.shade == 0:  # Jitter: the median of -10, 0 and +10 thousandths is 0.
            return said(("cat", 90 + 10 * number, 200, 500, 790 + 10 * number))
        if asked.shade == 1:  # Every sampling sees the cat elsewhere.
            return said(("cat", 300 * number, 0, 300 * number + 200, 400))
        if asked.shade == 2:
            return said() if number < 2 else said(CAT)
        return said(CAT, ("Dog", 0, 0, 100, 100)) if number else said(CAT)

    teacher.script = script
    report = distill(options())
    assert len(teacher.asked) == 4 * 3
    found = labels(tmp_path)
    assert sorted(found) == ["0.png", "2.png", "inner/3.png"]
    assert found["0.png"]["boxes_xyxy_px"] == [[20.0, 20.0, 100.0, 80.0]]
    assert found["2.png"]["labels"] == []
    assert found["inner/3.png"]["labels"] == ["cat", "dog"]
    assert found["inner/3.png"]["agreement"] == [1.0, 0.6667]
    assert found["inner/3.png"]["image_agreement"] == 0.8333
    left_out = [json.loads(line) for line in (tmp_path / "out/distill/left_out.jsonl").open()]
    assert [(row["file"], row["agreement"]) for row in left_out] == [("inner/1.png", [0.0])]
    counts = report.tally.counts
    assert (counts["images"], counts["left_out_images"], counts["boxes"]) == (4, 1, 3)
    assert report.asked == 4


def test_samples_truth_and_images(teacher, options, said, tmp_path):
    teacher.script = lambda asked: said(CAT) if asked.shade else said()
    distill(options(3))
    out = tmp_path / "out"
    samples = list(read_samples(out / "train.jsonl"))
    assert Counter((sample.refs, sample.boxes) for sample in samples) == {
        (("cat",), ((100, 200, 500, 800),)): 2,
        ((), ()): 1,
    }
    truth = read_truth(out / "train.truth.json")
    assert [box.box_xyxy_px for box in truth.annotations] == [(20, 20, 100, 80)] * 2
    assert [category.name for category in truth.categories] == ["cat", "dog"]
    sources = {path.read_bytes() for path in (tmp_path / "photos").rglob("*.png")}
    assert {path.read_bytes() for path in (out / "images").iterdir()} == sources


def test_the_meta_says_where_labels_are_from(teacher, options, said, tmp_path):
    teacher.script = lambda asked: said(CAT)
    distill(options(2, samplings=2))
    meta = read_meta(tmp_path / "out/train.meta.json")
    settings = dict(meta.settings)
    assert settings["teacher"] == "big"
    assert settings["teacher_endpoint"] == teacher.url.removeprefix("http://")
    assert settings["teacher_prompt"] == teacher.asked[0].prompt
    assert "'cat', 'dog'" in settings["teacher_prompt"]
    assert settings["teacher_samplings"] == "2"
    assert settings["agreement_votes"] == "2"
    assert settings["agreement_iou"] == "0.5"
    assert settings["teacher_date"][:2] == "20"
    assert settings["format"] == "distilled"
    assert json.loads(settings["distilled"])["boxes"] == 2
    assert meta.source == "photos"


def test_the_key_is_in_no_file(teacher, options, tmp_path, caplog):
    caplog.set_level("DEBUG", "paddle_ground")
    teacher.script = lambda asked: f'[{{"bbox_2d": [1, 2, 300, 400], "label": "cat"}}] and {KEY}'
    distill(options(2))
    assert all(asked.headers["Authorization"] == f"Bearer {KEY}" for asked in teacher.asked)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) >= 6
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY not in caplog.text


def test_done_is_not_asked_again_and_thresholds_sort_anew(teacher, options, said, tmp_path):
    small = ("cat", 10, 20, 50, 80)
    teacher.script = lambda asked: said(small) if asked.body["seed"] else said()
    told = options(2)
    assert distill(told).prepared.reused is False
    asked = len(teacher.asked)
    again = distill(told)
    assert (again.asked, again.prepared.reused) == (0, True)
    strict = replace(told, agreement=AgreementOptions(votes=3))
    own = tmp_path / "out" / "notes.txt"
    own.write_text("mine")
    message = r"of 2 images with answers no label is agreed on; .* \(the samples .* are removed\)"
    with pytest.raises(DataError, match=message):
        distill(strict)
    # What other thresholds gave is gone, what was asked for is not.
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["distill", "notes.txt"]
    with pytest.raises(DataError, match=r"no label is agreed on; [^()]*$"):
        distill(strict)
    own.unlink()
    assert distill(replace(told, agreement=AgreementOptions(votes=1))).prepared.reused is False
    other_space = replace(told, asking=replace(told.asking, space="absolute"))
    assert labels(tmp_path)["0.png"]["boxes_xyxy_px"] == [[2.0, 2.0, 10.0, 8.0]]
    distill(other_space)
    assert labels(tmp_path)["0.png"]["boxes_xyxy_px"] == [[10.0, 20.0, 50.0, 80.0]]
    assert len(teacher.asked) == asked


@pytest.mark.parametrize(("prompt", "message"), [(" ", "is blank"), ("caf\udce9", "is not UTF-8 text")])
def test_prompts_that_no_file_can_hold_are_refused(prompt, message):
    with pytest.raises(ConfigError, match=message):
        questions_of((), (), prompt)


def test_numbers_beyond_the_image_point_to_the_other_space(teacher, options, said):
    teacher.script = lambda asked: said(CAT)
    told = options(2, space="absolute")
    with pytest.raises(DataError, match="has all boxes beyond the image; pass the --teacher-space"):
        distill(told)
    assert len(teacher.asked) == 3
    teacher.script = lambda asked: said(CAT, ("dog", 10, 10, 60, 60))
    report = distill(told)
    (hint,) = suspect_space(report.tally, "absolute")
    assert hint.startswith("6 of 6 answers have boxes beyond the image; --teacher-space relative_1000")
    assert (
        suspect_space(distill(replace(told, asking=replace(told.asking, space="relative_1000"))).tally, "")
        == []
    )


def test_other_questions_need_another_folder(teacher, options, said):
    teacher.script = lambda asked: said(CAT)
    told = options(1)
    distill(told)
    with pytest.raises(ConfigError, match=r"asked for with samplings 3, and not 5; choose another output"):
        distill(replace(told, asking=replace(told.asking, samplings=5)))


def test_a_changed_image_is_asked_about_again(teacher, options, said, tmp_path):
    teacher.script = lambda asked: said(CAT)
    told = options(3)
    distill(told)
    Image.new("RGB", (200, 100), (250, 0, 0)).save(tmp_path / "photos/2.png")
    teacher.asked.clear()
    assert distill(told).asked == 1
    assert {asked.shade for asked in teacher.asked} == {25}


def test_images_of_an_earlier_run_are_not_taken_for_photos(teacher, options, said, tmp_path):
    out = tmp_path / "photos" / "out"
    told = options(1)
    told = replace(told, prepare=replace(told.prepare, output_dir=out))
    photo = (tmp_path / "photos/0.png").rename(tmp_path / "photos/000000000007.png")
    teacher.script = lambda asked: said(CAT)
    distill(told)
    assert (out / "images" / photo.name).read_bytes() == photo.read_bytes()
    Image.new("RGB", (200, 100), (250, 0, 0)).save(photo)
    distill(told)
    assert (out / "images" / photo.name).read_bytes() == photo.read_bytes()


def test_a_torn_line_is_asked_about_again(teacher, options, said, tmp_path):
    teacher.script = lambda asked: said(CAT)
    told = options(3)
    distill(told)
    answers = tmp_path / "out/distill/answers.jsonl"
    answers.write_bytes(answers.read_bytes()[:-20])
    teacher.asked.clear()
    assert distill(told).asked == 1
    assert len(teacher.asked) == 3
    assert len(answers.read_text().splitlines()) == 3


def test_phrases_become_referrals(teacher, options, said, tmp_path):
    def script(asked):
        if "left cat" in asked.prompt:
            return said(("whatever", 100, 200, 500, 800))
        if "dragon" in asked.prompt:
            return said()
        return "I can't tell."

    teacher.script = script
    report = distill(options(2, names=(), phrases=("the left cat", "a dragon", "a thought")))
    assert len(teacher.asked) == 2 * 3 * 3
    row = labels(tmp_path)["0.png"]
    assert row["phrases"] == [
        {"phrase": "the left cat", "boxes": [0], "agreement": 1.0},
        {"phrase": "a dragon", "boxes": [], "agreement": 1.0},
    ]
    samples = list(read_samples(tmp_path / "out/train.jsonl"))
    assert Counter(sample.refs for sample in samples) == {("the left cat",): 2, (): 2}
    assert report.tally.counts["unreadable_answers"] == 6


def test_a_free_prompt_takes_all_names(teacher, options, said, tmp_path):
    teacher.script = lambda asked: said(("cup", 0, 0, 500, 500), (f"thing {asked.shade}", 500, 0, 900, 900))
    distill(options(2, names=(), prompt="List every object with its box."))
    assert read_meta(tmp_path / "out/train.meta.json").class_names == ("cup", "thing 0", "thing 1")
    assert {asked.prompt for asked in teacher.asked} == {"List every object with its box."}


@pytest.mark.parametrize(
    ("said_box", "space"),
    [
        ((100, 200, 500, 800), "relative_1000"),
        ((10, 10, 50, 40), "absolute"),
        ((0.1, 0.2, 0.5, 0.8), "absolute"),
    ],
    ids=["relative", "absolute", "fractions"],
)
def test_boxes_are_in_pixels_of_the_file_however_it_was_sent(teacher, options, tmp_path, said_box, space):
    teacher.script = lambda asked: json.dumps([{"bbox_2d": said_box, "label": "cat"}])
    distill(options(1, max_pixels=5000, space=space))
    assert teacher.asked[0].size_wh == (100, 50)
    assert labels(tmp_path)["0.png"]["boxes_xyxy_px"] == [[20.0, 20.0, 100.0, 80.0]]


def test_sides_are_multiples_where_asked(teacher, options, said):
    teacher.script = lambda asked: said(CAT)
    distill(options(1, side_multiple=28))
    assert teacher.asked[0].size_wh == (196, 112)


def test_files_are_sent_as_they_are_but_for_turned_ones(teacher, options, said, tmp_path):
    teacher.script = lambda asked: said(CAT)
    told = options(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 30), (70, 0, 0)).save(tmp_path / "photos/turned.jpg", exif=exif)
    distill(told)
    by_size = {asked.size_wh: asked.image for asked in teacher.asked}
    assert by_size[200, 100] == (tmp_path / "photos/0.png").read_bytes()
    with Image.open(io.BytesIO(by_size[60, 30])) as sent:
        assert sent.getexif().get(0x0112, 1) == 1


def test_a_teacher_without_boxes_is_found_out_at_once(teacher, options, tmp_path):
    teacher.script = lambda asked: "I am sorry, I can't do that."
    with pytest.raises(DataError, match=r"0\.png: the teacher's first answer holds no boxes .*I am sorry"):
        distill(options(20))
    assert len(teacher.asked) == 3
    teacher.script = lambda asked: {"message": {"content": "[{"}, "finish_reason": "length"}
    with pytest.raises(DataError, match="was cut off; raise --max-tokens"):
        distill(options(20))


@pytest.mark.parametrize("loops", [False, True])
def test_answers_that_are_cut_off_or_off_topic_do_not_vote(teacher, options, said, tmp_path, loops):
    cut = {"message": {"content": said(CAT)}, "finish_reason": "length"}
    if loops:
        cut["finish_reason"] = "loop"
    by_seed = {0: cut, 1: said(("kitten", 1, 1, 9, 9)), 2: said(CAT)}
    teacher.script = lambda asked: said(CAT) if asked.shade == 0 else by_seed[asked.body["seed"]]
    report = distill(options(2))
    assert sorted(labels(tmp_path)) == ["0.png"]
    counts = report.tally.counts
    assert (counts["cut_off_answers"], counts["other_names_answers"]) == (1, 1)


def test_an_image_without_answer_is_named_and_the_rest_kept(teacher, options, said, tmp_path):
    teacher.script = lambda asked: teacher.raw(400, b"too large") if asked.shade == 2 else said(CAT)
    told = options(4)
    with pytest.raises(
        DataError, match=r"1 of 4 images got no answer \(2\.png: .*too large.*--allow-missing"
    ):
        distill(told)
    assert not (tmp_path / "out/train.jsonl").exists()
    teacher.asked.clear()
    report = distill(replace(told, allow_missing=True))
    assert {asked.shade for asked in teacher.asked} == {2}
    assert len(report.left_out) == 1
    assert sorted(labels(tmp_path)) == ["0.png", "inner/1.png", "inner/3.png"]


def test_an_endpoint_that_went_away_ends_the_run(teacher, options, said):
    teacher.script = lambda asked: said(CAT) if asked.shade < 2 else teacher.raw(503, b"going down")
    with pytest.raises(DataError, match=r"going down.*images have answers, which are kept"):
        distill(options(20))
    assert len({asked.shade for asked in teacher.asked}) < 15


def test_bad_images_and_links_out_are_left_out(teacher, options, said, tmp_path):
    teacher.script = lambda asked: said(CAT)
    told = options(2)
    (tmp_path / "photos/broken.jpg").write_bytes(b"no image")
    (tmp_path / "secret.png").write_bytes((tmp_path / "photos/0.png").read_bytes())
    (tmp_path / "photos/link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "photos/.hidden.png").write_bytes(b"")
    (tmp_path / "photos/notes.txt").write_text("none")
    report = distill(told)
    assert sorted(labels(tmp_path)) == ["0.png", "inner/1.png"]
    assert len(report.left_out) == 2
    assert "link out of photos" in " ".join(report.left_out)


def test_folders_that_can_not_work(teacher, options, tmp_path):
    told = options(1)
    with pytest.raises(ConfigError, match="the images are in there"):
        distill(replace(told, prepare=PrepareOptions(tmp_path)))
    (tmp_path / "other/images").mkdir(parents=True)
    with pytest.raises(DataError, match="prepare did not make this"):
        distill(replace(told, prepare=PrepareOptions(tmp_path / "other")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image in it"):
        distill(replace(told, images=tmp_path / "empty"))
    assert teacher.asked == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samplings": 0}, "samplings is 0"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"top_p": 0.0}, "top_p is 0"),
        ({"max_pixels": 5}, "max_pixels is 5"),
    ],
)
def test_numbers_that_can_not_work(teacher, options, changes, message):
    with pytest.raises(ConfigError, match=message):
        distill(options(1, **changes))
    assert teacher.asked == []


def test_a_killed_run_goes_on_and_asks_nothing_twice(teacher, make_images, said, tmp_path, project_root):
    """The program is killed while it works, twice; no image whose answers were kept is asked about again."""
    count, out = 12, tmp_path / "out"
    answers = out / "distill/answers.jsonl"
    command = [sys.executable, "-m", "paddle_ground", "distill", str(make_images(count)), str(out)]
    command += ["--endpoint", teacher.url, "--model", "big", "--classes", "cat", "--concurrency", "2"]
    command += ["--val-ratio", "0", "--samplings", "2"]

    def script(asked):
        return teacher.raw(body=answer, seconds=0.05)

    answer = json.dumps({"choices": [{"message": {"content": said(CAT)}, "finish_reason": "stop"}]}).encode()
    teacher.script = script

    def kept() -> set[str]:
        text = answers.read_text() if answers.exists() else ""
        return {json.loads(line)["file"] for line in text.splitlines(True) if line.endswith("\n")}

    env = {**os.environ, "OPENAI_API_KEY": KEY}
    for wanted in (3, 7):
        before = kept()
        teacher.asked.clear()
        process = subprocess.Popen(command, cwd=project_root, env=env, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(kept()) < wanted:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert wanted <= len(kept()) < count
        assert not {f"{asked.shade}.png" for asked in teacher.asked} & {Path(file).name for file in before}
    before = kept()
    teacher.asked.clear()
    done = subprocess.run(command, cwd=project_root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not {f"{asked.shade}.png" for asked in teacher.asked} & {Path(file).name for file in before}
    assert len(teacher.asked) == 2 * (count - len(before))
    assert f"{count} have answers" in done.stdout
    assert len(list(read_samples(out / "train.jsonl"))) == count
    everything = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert KEY.encode() not in everything
    assert KEY not in done.stdout + done.stderr


def test_ctrl_c_keeps_what_is_done(teacher, make_images, said, tmp_path, project_root):
    out = tmp_path / "out"
    slow = json.dumps({"choices": [{"message": {"content": said(CAT)}}]}).encode()
    teacher.script = lambda asked: teacher.raw(body=slow, seconds=20) if asked.shade else said(CAT)
    command = [sys.executable, "-m", "paddle_ground", "distill", str(make_images(3)), str(out)]
    command += ["--endpoint", teacher.url, "--model", "big", "--classes", "cat"]
    process = subprocess.Popen(command, cwd=project_root, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not {asked.shade for asked in teacher.asked} > {0}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said_last = process.communicate(timeout=15)  # The answer on its way is not waited for.
    assert process.returncode == 130
    assert "answers that came are kept" in said_last
    assert len((out / "distill/answers.jsonl").read_text().splitlines()) == 1
