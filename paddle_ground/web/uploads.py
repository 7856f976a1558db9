"""Pictures that a browser brings: files that it uploaded, and nothing else.

Takes Gradio's components; gives ones that fetch nothing, and uploaded files with the limits of the server.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from paddle_ground.serve.images import ImageDoor
from paddle_ground.serve.options import Limits, ServeOptions
from paddle_ground.web.notices import refuse


def upload_door(folder: Path, limits: Limits) -> ImageDoor:
    """Give what lets uploaded files in: measured before they are decoded, from one folder only."""
    return ImageDoor(ServeOptions("page", local_dir=folder, limits=limits))


@cache
def local_only(kind: type[Any]) -> type[Any]:
    """Give a component that takes uploaded files only: Gradio's own would fetch any URL that a client names.

    Mounted in another application, Gradio 6.31 takes any file of the machine as well: it looks whether a
    file was uploaded only after `launch`.

    Args:
        kind: Gradio's class of the component.
    """

    async def moved(self: Any, url_or_file_path: str | Path | None) -> str | None:
        named = "" if url_or_file_path is None else str(url_or_file_path)
        if "://" in named:
            raise refuse("this page takes files, no addresses")
        if named and not Path(named).resolve().is_relative_to(Path(self.GRADIO_CACHE).resolve()):
            raise refuse("this page takes uploaded files only")
        found: str | None = await kind.async_move_resource_to_block_cache(self, url_or_file_path)
        return found

    def block_name(self: Any) -> str:
        # By it the browser knows which component to show.
        return kind.__name__.lower()

    members = {
        "async_move_resource_to_block_cache": moved,
        "get_block_name": block_name,
        "__module__": kind.__module__,
    }
    return type(kind.__name__, (kind,), members)
