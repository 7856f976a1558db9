"""The bar that commands show while images go by.

Takes numbers, draws on stderr. Knows nothing of what is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from tqdm import tqdm


class Bar:
    """A progress bar whose clock starts with the first image."""

    def __init__(self, title: str) -> None:
        """Take what stands before it."""
        self._title = title
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> Bar:
        """Show nothing yet."""
        return self

    def show(self, done: int, total: int) -> None:
        """Show how many images are done, of how many."""
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(unit=" images", desc=self._title, delay=0.5)
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
