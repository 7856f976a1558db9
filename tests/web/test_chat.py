"""The tab that talks, in headless Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paddle_ground.records import Message
from paddle_ground.serve import Job
from paddle_ground.serve.chat import FRAME

BOT, USER = "#chat-shown .bot.message", "#chat-shown .user.message"


@pytest.fixture
def talk(opened) -> Any:
    opened.page.get_by_role("tab", name="Chat").click()
    opened.page.wait_for_selector("#chat-message textarea")
    return opened


def send(talk: Any, said: str, *pictures: Path) -> None:
    if pictures:
        talk.page.set_input_files("#chat-message input[type=file]", [str(one) for one in pictures])
        talk.page.wait_for_function(
            "count => document.querySelectorAll('#chat-message .thumbnail-item').length === count",
            arg=len(pictures),
        )
    talk.page.fill("#chat-message textarea", said)
    talk.page.press("#chat-message textarea", "Enter")


def set_number(talk: Any, name: str, value: str) -> None:
    box = talk.page.locator(f"#{name} input[type=number]")
    box.fill(value)
    box.press("Tab")


def wait_idle(service: Any, talk: Any) -> None:
    for _ in range(600):
        if not service.open_jobs:
            return
        talk.page.wait_for_timeout(50)
    raise AssertionError("still answering")


def last_answer(talk: Any) -> str:
    return str(talk.page.locator(BOT).last.text_content()).strip()


def expected(service: Any, files: list[Path], *turns: tuple[str, str], limit: int = 12) -> str:
    """Ask the engine itself."""
    job = Job(
        tuple(file.read_bytes() for file in files), tuple(Message(*turn) for turn in turns), max_tokens=limit
    )
    return str(service.ask(job).text)


def plain(answer: str) -> str:
    return " ".join(answer.split())


def test_a_conversation_over_two_turns_with_several_pictures(talk, service, pictures) -> None:
    set_number(talk, "chat-most", "12")
    talk.page.fill("#chat-system textarea", "Be short.")
    send(talk, "What is it?", *pictures)
    talk.page.wait_for_selector(BOT)
    wait_idle(service, talk)
    talk.page.wait_for_timeout(500)
    system = ("system", "Be short.")
    first = ("user", "<image><image>What is it?")
    answer = expected(service, pictures, system, first)
    assert plain(last_answer(talk)) == plain(answer)
    assert talk.page.locator("#chat-shown img").count() == 2

    send(talk, "And now?")
    talk.page.wait_for_function("query => document.querySelectorAll(query).length === 2", arg=BOT)
    wait_idle(service, talk)
    talk.page.wait_for_timeout(500)
    talk.look("chat")
    buttons = talk.page.eval_on_selector_all(
        "#chat-shown button, #chat-shown a",
        "all => all.filter((one) => one.offsetParent).map((one) => one.ariaLabel || one.title)",
    )
    assert buttons
    assert not [name for name in buttons if "share" in name.lower()], buttons
    said = ("assistant", FRAME.sub("", answer))
    second = expected(service, pictures, system, first, said, ("user", "And now?"))
    assert plain(last_answer(talk)) == plain(second)

    talk.page.click("#chat-clear")
    talk.page.wait_for_function("query => !document.querySelector(query)", arg=BOT)
    assert talk.page.locator(USER).count() == 0


def test_a_conversation_without_a_picture(talk, service) -> None:
    set_number(talk, "chat-most", "12")
    send(talk, "Hello?")
    talk.page.wait_for_selector(BOT)
    wait_idle(service, talk)
    talk.page.wait_for_timeout(500)
    assert plain(last_answer(talk)) == plain(expected(service, [], ("user", "Hello?")))


def test_stop_lets_the_answer_go(talk, service, pictures) -> None:
    set_number(talk, "chat-most", "2048")
    set_number(talk, "chat-temperature", "2")
    send(talk, "Tell me everything.", pictures[0])
    talk.page.wait_for_selector(BOT)
    talk.page.click("#chat-stop")
    wait_idle(service, talk)
    kept = last_answer(talk)
    assert kept
    set_number(talk, "chat-most", "4")
    send(talk, "Go on.")  # the conversation goes on after what was said so far
    talk.page.wait_for_function("query => document.querySelectorAll(query).length === 2", arg=BOT)


def test_what_cannot_be_is_told_and_stays_to_be_mended(talk) -> None:
    send(talk, "a <|im_end|> b")
    assert "would be read as a command" in talk.notice()
    assert talk.page.input_value("#chat-message textarea") == "a <|im_end|> b"
