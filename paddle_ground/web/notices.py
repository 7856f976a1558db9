"""What goes wrong while somebody uses the page, as a notice on it and not as a broken page.

Takes exceptions; gives Gradio's notices. Places of this machine are told from the shown folder on only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paddle_ground.errors import PaddleGroundError

LOGGER = logging.getLogger(__name__)


@contextmanager
def noticed(*roots: Path) -> Iterator[None]:
    """Turn what we raise on purpose into a notice; what else is raised goes to the log.

    Args:
        roots: Their paths are taken out of messages.
    """
    from gradio import Error
    from pydantic import ValidationError

    try:
        yield
    except PaddleGroundError as error:
        told = str(error)
        for root in roots:
            told = told.replace(f"{root}/", "").replace(str(root), ".")
        raise Error(told, print_exception=False) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Error(f"{field}: {first['msg']}", print_exception=False) from error
    except Error:
        raise
    except Exception as error:
        LOGGER.exception("the page failed")
        raise Error("This broke the page; the log of the program tells why.") from error


def refuse(message: str) -> Any:
    """Give the exception that shows a message."""
    from gradio import Error

    return Error(message, print_exception=False)
