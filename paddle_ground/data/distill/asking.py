"""Asks a teacher about many images at a time, and keeps every answer as it comes.

Takes images, a client and an `AnswersFile`, gives counts. What was answered stays, however the run ends.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from paddle_ground.data.distill.answers_file import AnswersFile, ImageAnswers
from paddle_ground.data.distill.client import RefusedRequestError, Reply, TeacherClient, UnansweredError
from paddle_ground.data.distill.options import AskOptions, Endpoint
from paddle_ground.data.distill.sending import make_sendable
from paddle_ground.data.distill.votes import read_vote
from paddle_ground.errors import DataError

Progress = Callable[[int, int], None]
"""Called with the number of images that are done and of all."""

# An endpoint that answers none of so many images in a row is gone, and would cost a time-out for each.
_GONE_AFTER = 5

_USELESS = {
    "cut_off": "was cut off; raise --max-tokens",
    "unreadable": "holds no boxes that can be read; expected a list of boxes with names, so ask with another "
    "prompt or model",
    "outside": "has all boxes beyond the image; pass the --teacher-space that its numbers are in",
}


class BadImageError(DataError):
    """An image file that can't be read or sent."""


@dataclass(frozen=True, slots=True)
class AskReport:
    """What was asked.

    Attributes:
        asked: How many images were asked about now.
        bad_images: A message for each image that can't be sent.
        unanswered: A message for each image that got no answer.
    """

    asked: int
    bad_images: tuple[str, ...]
    unanswered: tuple[str, ...]


def hash_image(root: Path, file: str) -> str:
    """Hash an image's content.

    Raises:
        BadImageError: It can't be read.
    """
    return hashlib.sha256(_read(root, file)).hexdigest()


def ask_about(
    root: Path,
    files: Sequence[str],
    answers: AnswersFile,
    asking: AskOptions,
    endpoint: Endpoint,
    concurrency: int,
    progress: Progress | None = None,
) -> AskReport:
    """Ask about images: the first alone, to see that answers hold boxes, then several at a time.

    Args:
        root: The folder of the images.
        files: Those that have no answers yet.
        answers: Where answers go.
        asking: What is asked.
        endpoint: Whom.
        concurrency: How many images at a time.
        progress: Told of each image.

    Raises:
        RefusedError: The endpoint will answer nothing.
        DataError: The first answers hold no boxes, or no answers come any more.
    """
    asked, in_a_row = 0, 0
    bad_images: list[str] = []
    unanswered: list[str] = []
    stop = threading.Event()
    client = TeacherClient(endpoint, asking, stop)

    def ask(file: str) -> ImageAnswers:
        return _ask_one(root, file, client, asking)

    try:
        for file, result in _in_turn(files, ask, concurrency, stop):
            if isinstance(result, ImageAnswers):
                if not len(answers):
                    _check_first(result, asking)
                answers.add(result)
                asked, in_a_row = asked + 1, 0
            elif isinstance(result, BadImageError):
                bad_images.append(str(result))
            elif isinstance(result, UnansweredError):
                unanswered.append(f"{file}: {result}")
                in_a_row += 1
                is_first = not len(answers) and not isinstance(result, RefusedRequestError)
                if is_first or in_a_row == _GONE_AFTER:
                    raise DataError(f"{unanswered[-1]}; {len(answers)} images have answers, which are kept")
            else:
                raise result
            if progress is not None:
                progress(asked + len(bad_images) + len(unanswered), len(files))
    finally:
        stop.set()
        client.close()
    return AskReport(asked, tuple(bad_images), tuple(unanswered))


def _in_turn(
    files: Sequence[str], ask: Callable[[str], ImageAnswers], threads: int, stop: threading.Event
) -> Iterator[tuple[str, ImageAnswers | Exception]]:
    """Give results as they come: one by one up to the first answer, then from several threads."""
    rest = iter(files)
    for file in rest:
        result = _catch(ask, file)
        yield file, result
        if isinstance(result, ImageAnswers):
            break
    left = list(rest)
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    for file in left:
        todo.put(file)
    done: queue.SimpleQueue[tuple[str, ImageAnswers | Exception]] = queue.SimpleQueue()

    def work() -> None:
        while not stop.is_set():
            try:
                file = todo.get_nowait()
            except queue.Empty:
                return
            done.put((file, _catch(ask, file)))

    # Not a pool of `concurrent.futures`: on Ctrl-C the interpreter would wait for each answer on its way.
    for _ in range(min(threads, len(left))):
        threading.Thread(target=work, daemon=True).start()
    for _ in left:
        yield done.get()


def _catch(ask: Callable[[str], ImageAnswers], file: str) -> ImageAnswers | Exception:
    try:
        return ask(file)
    except Exception as error:  # Whatever it is, the thread that waits for it has to hear of it.
        return error


def _ask_one(root: Path, file: str, client: TeacherClient, asking: AskOptions) -> ImageAnswers:
    data = _read(root, file)
    try:
        sent = make_sendable(data, asking.max_pixels, asking.side_multiple)
    except DataError as error:
        raise BadImageError(f"{file}: {error}") from error
    replies: list[tuple[Reply, ...]] = []
    for question in asking.questions:
        seeds = range(asking.seed, asking.seed + asking.samplings)
        replies.append(tuple(client.ask(sent.url, question.prompt, seed) for seed in seeds))
    return ImageAnswers(
        file,
        hashlib.sha256(data).hexdigest(),
        sent.size_wh,
        sent.sent_size_wh,
        tuple(replies),
        datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _read(root: Path, file: str) -> bytes:
    try:
        return (root / file).read_bytes()
    except OSError as error:
        raise BadImageError(f"{file}: cannot read it ({error.strerror or error})") from error


def _check_first(answers: ImageAnswers, asking: AskOptions) -> None:
    """Refuse a teacher that does not answer in boxes before it is asked a thousand times."""
    problems = []
    for question, replies in zip(asking.questions, answers.replies, strict=True):
        for reply in replies:
            vote = read_vote(reply, question, asking, answers.size_wh, answers.sent_size_wh)
            if vote.problem not in _USELESS:
                return
            problems.append((vote.problem, reply.text))
    problem, text = problems[0]
    shown = " ".join(text.split())
    shown = shown if len(shown) <= 200 else shown[:200] + "..."
    raise DataError(f"{answers.file}: the teacher's first answer {_USELESS[problem]}; it said {shown!r}")
