"""The process that holds the model: a socket in its hands, nothing else to be reached by.

Started by `paddle_ground.serve.workers`. It ends when the server does, in whatever way that came about, and
a server whose worker ended starts another one.
"""

from __future__ import annotations

import logging
import queue
import socket
import sys
import threading
from typing import Any

from paddle_ground.errors import PaddleGroundError
from paddle_ground.infer import Engine
from paddle_ground.serve.loop import Loop, Message
from paddle_ground.serve.wire import Channel

DEFAULT_MAX_CONTEXT = 16384


def serve_channel(engine: Engine, channel: Channel, batch: int, max_context: int | None) -> None:
    """Answer jobs until the other side goes away.

    Args:
        engine: That answers.
        channel: To the server.
        batch: Answers under way at once.
        max_context: Tokens of question and answer together; none for what the model can, up to a limit.
    """
    context = _context(engine, max_context)
    inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()

    def listen() -> None:
        while (message := channel.receive()) is not None:
            inbox.put(message)
        inbox.put(None)

    threading.Thread(target=listen, name="paddle_ground-inbox", daemon=True).start()
    channel.send({"ready": _card(engine, context)})
    try:
        Loop(engine, channel.send, batch, context).run(inbox)
    except OSError:  # the server went away while we spoke
        pass
    finally:
        channel.close()


def _context(engine: Engine, wanted: int | None) -> int:
    config = engine.loaded.config
    text = getattr(config, "text_config", config)
    most = int(getattr(text, "max_position_embeddings", DEFAULT_MAX_CONTEXT))
    return min(most, wanted or DEFAULT_MAX_CONTEXT)


def _card(engine: Engine, context: int) -> dict[str, Any]:
    """Say what a client may want to know of the model."""
    trained = engine.grounding
    return {
        "coordinate_space": engine.coordinate_space.name,
        "max_context": context,
        "answer_format": trained.answer_format if trained else None,
        "prompt": trained.prompt if trained else None,
        "class_names": list(trained.class_names) if trained else [],
    }


def main(arguments: list[str]) -> int:
    """Load a model and serve it: `worker FD MODEL DTYPE BATCH MAX_CONTEXT` (0: the model's own)."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: engine: %(message)s")
    number, model, dtype, batch, max_context = arguments
    channel = Channel(socket.socket(fileno=int(number)))
    try:
        engine = Engine.load(model, dtype=dtype)
    except PaddleGroundError as error:
        channel.send({"broken": str(error)})
        channel.close()
        return 2
    serve_channel(engine, channel, int(batch), int(max_context) or None)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
