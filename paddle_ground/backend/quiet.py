"""Keep Paddle's and PaddleFormers' chatter off the screen.

Takes a block of code; runs it with their log lines and warnings up to WARNING held back.
Asked for debugging (`logging.getLogger("paddle_ground")` at DEBUG), it holds nothing back.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGER = logging.getLogger("paddle_ground")


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back log lines up to WARNING, and Python warnings, of everything inside the block.

    PaddleFormers sets its own logger to DEBUG when it is imported, so its level can't be lowered
    beforehand; logging as a whole is shut for the time of the block. Errors still come through.
    """
    if LOGGER.isEnabledFor(logging.DEBUG):
        yield
        return
    # C++ log lines; read once, when Paddle is imported for the first time.
    os.environ.setdefault("GLOG_minloglevel", "2")
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
