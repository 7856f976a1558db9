"""Many jobs at once are answered as `paddle_ground.infer` answers each alone, and nothing is lost or left."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from paddle_ground.errors import BoxError, ModelError
from paddle_ground.infer import Engine, Request, Sampling, ground
from paddle_ground.records import Message
from paddle_ground.serve import BoxLayout, Delta, Done, Job, Search, Service, thread_worker
from paddle_ground.serve.asking import ask
from paddle_ground.serve.refusals import (
    BadRequestError,
    BrokenError,
    BusyError,
    TimedOutError,
    UnavailableError,
)
from paddle_ground.serve.workers import Worker

Photo = Callable[..., bytes]


def opened(photo: bytes) -> Image.Image:
    return Image.open(io.BytesIO(photo))


def chat(photo: bytes, text: str = "<image>say something", **settings: Any) -> Job:
    return Job((photo,), (Message("user", text),), **{"max_tokens": 12, **settings})


def alone(engine: Engine, photo: bytes, text: str, max_tokens: int = 12, sampling: Any = None) -> str:
    answer = engine.answer(
        [Request(opened(photo), text)], max_new_tokens=max_tokens, sampling=sampling or Sampling()
    )[0]
    ends = engine.loaded.end_token_ids
    ids = [token for token in answer.token_ids if token not in ends]
    return str(engine.loaded.tokenizer.decode(ids, skip_special_tokens=False,
                                              clean_up_tokenization_spaces=False))  # fmt: skip


def test_mixed_jobs_at_once_are_answered_as_each_alone(
    service: Service, engine: Engine, photo: Photo
) -> None:
    photos = [photo(64 + 16 * i, 64, seed=i) for i in range(4)]
    draw = Sampling(0.9, 0.8, 5)
    chats = [("<image>what is this", None), ("hi", draw), ("<image>left of it", draw), ("why", None)] * 3
    expected = [alone(engine, photos[i % 4], text, 12 + i, draws) for i, (text, draws) in enumerate(chats)]
    looked = [ground(engine, opened(p), "the cup", max_new_tokens=60) for p in photos]

    def run(i: int) -> Done:
        text, draws = chats[i]
        return service.ask(chat(photos[i % 4], text, max_tokens=12 + i, sampling=draws or Sampling()))

    with ThreadPoolExecutor(16) as pool:
        said = pool.map(run, range(len(chats)))
        seen = pool.map(lambda p: service.ask(Job((p,), search=Search("the cup"), max_tokens=60)), photos)
        assert [done.text for done in said] == expected
        found = list(seen)
    for done, one in zip(found, looked, strict=True):
        assert [(r.label, r.box_xyxy_px) for r in done.regions] == [
            (r.label, r.box_xyxy_px) for r in one.regions
        ]
        assert [r.score for r in done.regions] == pytest.approx([r.score for r in one.regions], abs=1e-5)
    assert [(d.status, d.repairs, d.prompt, d.size_wh) for d in found] == [
        (one.status, one.repairs, one.prompt, one.size_wh) for one in looked
    ]
    assert any(done.regions for done in found), "a model that finds nothing proves nothing"
    assert service.open_jobs == 0


def test_the_prompt_of_the_training_is_held_to_the_grammar_and_classes(
    service: Service, engine: Engine, photo: Photo
) -> None:
    assert engine.grounding is not None
    own = engine.grounding.prompt
    held = ground(engine, opened(photo()), max_new_tokens=60)
    assert service.ask(chat(photo(), f"<image>{own}", max_tokens=60)).text == held.text.removesuffix(
        "<|im_end|>"
    )
    free = service.ask(chat(photo(), own, max_tokens=60, constrained=False)).text
    assert free == alone(engine, photo(), own, 60) != held.text


@pytest.mark.parametrize("settings", [{}, {"constrained": True}, {"stop": ("e", "</")}, {"logprobs": True}])
def test_a_streamed_answer_is_the_whole_one_in_pieces(
    service: Service, photo: Photo, settings: dict[str, Any]
) -> None:
    whole = service.ask(chat(photo(), max_tokens=70, **settings))
    *deltas, last = service.stream(chat(photo(), max_tokens=70, stream=True, **settings))
    assert isinstance(last, Done)
    pieces = [delta.text for delta in deltas if isinstance(delta, Delta)]
    assert "".join(pieces) + last.rest == last.text == whole.text
    assert last.finish_reason == whole.finish_reason
    assert len(pieces) > 1 or {"stop", "constrained"} & settings.keys()
    if "logprobs" in settings:
        tokens = [t for delta in deltas if isinstance(delta, Delta) for t in delta.tokens]
        assert (*tokens, *last.rest_tokens) == last.tokens == whole.tokens
        assert b"".join(token.raw for token in last.tokens).decode(errors="replace") == last.text
        assert all(token.logprob <= 0 for token in last.tokens)


def test_a_stop_string_ends_an_answer_before_it(service: Service, photo: Photo) -> None:
    whole = service.ask(chat(photo(), max_tokens=40))
    stop = whole.text[7:10]
    cut = service.ask(chat(photo(), max_tokens=40, stop=(stop, "never said"), logprobs=True))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert cut.completion_tokens < whole.completion_tokens
    assert b"".join(token.raw for token in cut.tokens).decode(errors="replace").startswith(cut.text)


def test_boxes_come_as_the_layout_says(service: Service, photo: Photo, engine: Engine) -> None:
    layout = BoxLayout("where", "what", "things", ("cup", "blue square"))
    done = service.ask(chat(photo(64, 64), "cup?", max_tokens=90, boxes=layout))
    things = json.loads(done.text)["things"]
    assert things
    assert {thing["what"] for thing in things} <= {"cup", "blue square"}
    assert all(
        0 <= x1 < x2 <= 1000 and 0 <= y1 < y2 <= 1000 for x1, y1, x2, y2 in (t["where"] for t in things)
    )
    (last,) = service.stream(chat(photo(64, 64), "cup?", max_tokens=90, boxes=layout, stream=True))
    assert isinstance(last, Done)
    assert last.rest == last.text == done.text


def test_boxes_in_pixels_of_several_sizes_are_refused_as_predict_does(engine: Engine, photo: Photo) -> None:
    assert engine.grounding is not None
    absolute = Engine(engine.loaded, replace(engine.grounding, coordinate_space="absolute_resized"))

    def pair(second: bytes, **settings: Any) -> Job:
        return Job((photo(), second), (Message("user", "<image><image>cup?"),), max_tokens=9, **settings)

    for settings in ({"boxes": BoxLayout("where", "what")}, {"constrained": True}):
        with pytest.raises(BoxError, match="nothing says of which image a box is"):
            ask(absolute, 1, pair(photo(300, 200), **settings), 4096)
        assert ask(absolute, 1, pair(photo(seed=1), **settings), 4096).row  # one size
        assert ask(engine, 1, pair(photo(300, 200), **settings), 4096).row  # parts of any image
    assert ask(absolute, 1, pair(photo(300, 200)), 4096).row  # a conversation


def test_a_model_that_says_no_format_is_held_to_json_by_one_grammar(engine: Engine, photo: Photo) -> None:
    silent = Engine(engine.loaded, None)
    service = Service(thread_worker(silent, batch=2), batch=2)
    service.open()
    try:
        jobs = [chat(photo(seed=i), max_tokens=60, boxes=BoxLayout("box", "name"), constrained=held)
                for i, held in enumerate((None, True))]  # fmt: skip
        for done in map(service.ask, jobs):
            assert isinstance(json.loads(done.text), list)
        assert len(silent._grammars) == 1
        # A format of its own it has none: better no answer than one that only looks as if it were held.
        for job in (chat(photo(), constrained=True), Job((photo(),), search=Search("cup"), constrained=True)):
            with pytest.raises(BadRequestError, match="this model's folder says none"):
                service.ask(job)
        assert service.ask(Job((photo(),), search=Search("cup"), max_tokens=9)).text
    finally:
        service.close()


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (Job((b"no image",), (Message("user", "hi"),)), "image 1: not a whole image"),
        (Job((b"",), search=Search("cup")), "image 1"),
    ],
)
def test_a_bad_question_is_refused_and_hurts_nobody(
    service: Service, photo: Photo, job: Job, message: str
) -> None:
    with pytest.raises(BadRequestError, match=message):
        service.ask(job)
    assert service.ask(chat(photo())).text
    assert service.counts.restarts == 0


def test_a_blank_phrase_is_refused(service: Service, photo: Photo) -> None:
    with pytest.raises(BadRequestError, match="a blank phrase"):
        service.ask(Job((photo(),), search=Search("  ")))


def test_too_many_marks_and_too_long_questions_are_refused(service: Service, photo: Photo) -> None:
    with pytest.raises(BadRequestError, match="marks but 1 images"):
        service.ask(chat(photo(), "<image><image>two"))
    with pytest.raises(BadRequestError, match="both share") as refused:
        service.ask(chat(photo(), "word " * 9000))
    assert refused.value.code == "context_length_exceeded"


def test_half_an_image_is_refused(service: Service, photo: Photo) -> None:
    with pytest.raises(BadRequestError, match="image 1: not a whole image"):
        service.ask(chat(photo(200, 200)[:9000]))


@pytest.fixture
def endless(engine: Engine) -> Engine:
    """The same engine, but no answer ends by itself."""
    return Engine(replace(engine.loaded, end_token_ids=frozenset()), engine.grounding)


def test_who_gives_up_frees_the_row(endless: Engine, photo: Photo) -> None:
    service = Service(thread_worker(endless, batch=4), batch=4)
    service.open()
    with pytest.raises(TimedOutError):
        service.ask(chat(photo(), max_tokens=4000), timeout=0.3)
    stream = service.stream(chat(photo(), max_tokens=4000, stream=True))
    assert isinstance(next(stream), Delta)
    stream.close()  # type: ignore[attr-defined]
    assert service.open_jobs == 0
    until(lambda: service.counts.running == 0)  # told without anybody asking again
    assert service.ask(chat(photo(), max_tokens=2)).text
    service.close()


def test_nothing_runs_while_there_is_no_engine(engine: Engine) -> None:
    service = Service(thread_worker(engine, batch=1))
    service.worker_says({"running": 1})
    assert service.counts.running == 1
    service.worker_lost("it was killed")
    assert service.counts.running == 0


def test_only_so_many_may_wait(endless: Engine, photo: Photo) -> None:
    service = Service(thread_worker(endless, batch=1), batch=1, max_queue=1)
    service.open()
    try:
        tickets = service.submit([chat(photo(), max_tokens=4000)] * 2, [lambda event: None] * 2)
        with pytest.raises(BusyError) as busy:
            service.ask(chat(photo()))
        assert busy.value.status == 429
        assert busy.value.retry_after is not None
        assert busy.value.retry_after >= 1
        for ticket in tickets:
            service.cancel(ticket)
        assert service.ask(chat(photo())).text
    finally:
        service.close()
    with pytest.raises(UnavailableError):
        service.ask(chat(photo()))


def test_closing_lets_finish_what_runs(engine: Engine, photo: Photo) -> None:
    service = Service(thread_worker(engine, batch=2), batch=2)
    service.open()
    events: list[Any] = []
    jobs = [chat(photo(seed=i), max_tokens=40) for i in range(3)]
    service.submit(jobs, [events.append] * 3)
    service.close(drain=60)
    assert sorted(done.text for done in events) == sorted(
        alone(engine, photo(seed=i), "say something", 40) for i in range(3)
    )


def test_closing_ends_the_engine_whatever_a_listener_does(endless: Engine, photo: Photo) -> None:
    start = Dying(endless)
    service = Service(start, batch=2)
    service.open()
    told: list[Any] = []

    def broken(event: Any) -> None:
        raise RuntimeError("Event loop is closed")

    service.submit([chat(photo(), max_tokens=4000)] * 2, [broken, told.append])
    service.close()
    assert [event.message for event in told] == ["this server was stopped"]
    until(lambda: start.started[0].channel.receive() is None)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Dying:
    """A worker whose channel a test can cut."""

    def __init__(self, engine: Engine) -> None:
        self._start = thread_worker(engine, batch=4)
        self.started: list[Worker] = []

    def __call__(self) -> Worker:
        self.started.append(self._start())
        return self.started[-1]

    def kill(self) -> None:
        self.started[-1].channel.close()


def test_jobs_outlive_their_worker_and_get_the_same_answer(endless: Engine, photo: Photo) -> None:
    start = Dying(endless)
    service = Service(start, batch=4)
    service.open()
    events: dict[int, Any] = {}
    draw = Sampling(0.9, 1.0, 3)
    try:
        jobs = [chat(photo(seed=i), max_tokens=100, sampling=draw) for i in range(6)]
        tickets = service.submit(jobs, [lambda event, i=i: events.update({i: event}) for i in range(6)])
        until(lambda: tickets[3].begun)
        start.kill()
        until(lambda: len(events) == 6)
        assert service.counts.restarts == 1
        assert [events[i].text for i in range(6)] == [
            alone(endless, photo(seed=i), "say something", 100, draw) for i in range(6)
        ]
    finally:
        service.close()


def test_an_answer_that_was_read_in_part_is_not_begun_anew(endless: Engine, photo: Photo) -> None:
    start = Dying(endless)
    service = Service(start, batch=4)
    service.open()
    try:
        stream = service.stream(chat(photo(), max_tokens=3000, stream=True))
        next(stream)
        start.kill()
        with pytest.raises(UnavailableError, match="in the midst of this answer"):
            list(stream)
        assert service.ask(chat(photo())).text
    finally:
        service.close()


def test_a_question_that_kills_workers_is_not_asked_for_ever(endless: Engine, photo: Photo) -> None:
    start = Dying(endless)
    service = Service(start, batch=4)
    service.open()
    try:
        killers: list[Any] = []
        (ticket,) = service.submit([chat(photo(), max_tokens=4000)], [killers.append])
        for deaths in (1, 2):
            until(lambda: ticket.begun)
            start.kill()
            until(lambda n=deaths: service.counts.restarts == n)  # type: ignore[misc]
        assert [event.kind for event in killers] == ["lost"]
        assert service.ask(chat(photo())).text
    finally:
        service.close()


def test_an_error_while_reading_hits_one_job_and_later_ones_the_worker(
    engine: Engine, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paddle_ground.infer.generation import Generation

    service = Service(thread_worker(engine, batch=4), batch=4)
    service.open()
    stock = Generation._prefill

    def prefill(self: Any, rows: Any) -> Any:
        if any(row.limit == 13 for row in rows):
            raise ValueError("the unlucky one")
        return stock(self, rows)

    monkeypatch.setattr(Generation, "_prefill", prefill)
    try:
        with ThreadPoolExecutor(5) as pool:
            jobs = [chat(photo(seed=i), max_tokens=13 if i == 2 else 12) for i in range(5)]
            answers = [pool.submit(service.ask, job) for job in jobs]
            for i, answer in enumerate(answers):
                if i == 2:
                    with pytest.raises(BrokenError, match="broke the engine"):
                        answer.result()
                else:
                    assert answer.result().text == alone(engine, photo(seed=i), "say something")
        assert service.counts.restarts == 0
    finally:
        service.close()


def test_a_worker_that_falls_silent_is_replaced(engine: Engine, photo: Photo) -> None:
    gate, real, started = threading.Event(), thread_worker(engine, batch=4), []

    def start() -> Worker:
        started.append(real())
        if len(started) == 1:  # it hears nothing of what it is told
            started[0].channel.send = lambda *_: gate.wait(60)  # type: ignore[method-assign, return-value]
        return started[-1]

    service = Service(start, batch=4, patience=1.0)
    service.open()
    try:
        assert service.ask(chat(photo()), timeout=60).text
        assert service.counts.restarts == 1
    finally:
        gate.set()
        service.close()


def test_a_machine_without_room_for_a_process_is_asked_again(engine: Engine, photo: Photo) -> None:
    real, tries = thread_worker(engine, batch=4), []

    def start() -> Worker:
        tries.append(len(tries))
        if len(tries) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real()

    service = Service(start, batch=4)
    service.open()
    try:
        service._keeper._link.worker.channel.close()  # type: ignore[union-attr]
        assert service.ask(chat(photo()), timeout=60).text
        assert len(tries) == 3
    finally:
        service.close()


def test_a_model_that_cannot_be_loaded_is_an_error_at_once(tmp_path: Any) -> None:
    from paddle_ground.serve import process_worker

    with pytest.raises(ModelError, match=r"config\.json"):
        Service(process_worker(tmp_path, batch=1)).open(120)
