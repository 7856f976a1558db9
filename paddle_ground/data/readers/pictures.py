"""The images that a data set's rows name: found below its root, read whole.

Takes the root and the names as written, gives files and bytes. What people write is relative to many
places (the annotation file, the folder above, an image folder that only a config knows), so the
places are tried on the first images and kept in the order of their hits. Where train/ and val/ each have
an image of a name, the one near the rows' own file is meant. Leaves no root.
"""

from __future__ import annotations

import copy
import io
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from paddle_ground.data.headers import read_header
from paddle_ground.data.readers.inside import find_inside, read_inside
from paddle_ground.data.shards import USUAL_SPLITS
from paddle_ground.errors import DataError

_MAX_FOLDERS = 64
_TRIED = 24  # Images that are looked for in all places.


class Pictures:
    """A data set's images.

    Args:
        root: The data set's folder, which nothing may leave.
        max_side: Images whose longer side has more pixels are made smaller; None to give files as they are.
    """

    def __init__(self, root: Path, max_side: int | None = None) -> None:
        self._root, self._max_side = root, max_side
        self._real_root = root.resolve()
        named = [root, root / "images", root / "data"]
        near = _folders_in(root)
        below = [*near, *(inner for folder in near[:_MAX_FOLDERS] for inner in _folders_in(folder))]
        self._folders = list(dict.fromkeys([*named, *below[:_MAX_FOLDERS]]))
        self._dropped = 0  # Leading folders of a name that are not there.
        self.notes: tuple[str, ...] = ()

    def near(self, file: Path) -> Pictures:
        """Give the same for the rows of one file, with the folders first where such a file has its images."""
        folder, stem = file.parent, file.stem.removeprefix("instances_").removeprefix("_annotations.coco")
        above = folder.parent if folder != self._root else folder
        splits = [word for word in re.split(r"[^a-z]+", stem.lower()) if word in USUAL_SPLITS]
        names = dict.fromkeys([stem or folder.name, *splits])
        tried = [folder, *(above.joinpath(*inner, name) for name in names for inner in ((), ("images",)))]
        tried += [folder / "images", above / "images"]
        near = copy.copy(self)
        near._folders = list(dict.fromkeys([*filter(Path.is_dir, tried), *self._folders]))
        return near

    def settle(self, names: Iterable[str]) -> None:
        """Find out on a few images where they are.

        Args:
            names: Of the first images, as written.
        """
        tried = list(dict.fromkeys(names))[:_TRIED]
        deepest = max((len(PurePosixPath(self._local(name)).parts) for name in tried), default=1)
        for dropped in range(deepest):
            hits = {
                folder: sum(self._is_in(folder, name, dropped) for name in tried) for folder in self._folders
            }
            if any(hits.values()):
                self._dropped = dropped
                self._folders.sort(key=lambda folder: -hits[folder])
                if dropped:
                    lost = "/".join(PurePosixPath(self._local(tried[0])).parts[:dropped])
                    self.notes = (f"images: found without the {lost}/ that their paths begin with",)
                return

    def find(self, named: str, where: str) -> Path:
        """Find an image.

        Args:
            named: As the row writes it; an absolute path counts if it leads into the root.
            where: `file:line`, to open a message.

        Raises:
            DataError: It leads out of the root, or is not there.
        """
        if named.startswith(("http://", "https://", "data:", "file:")):
            raise DataError(
                f"{where}: the image {named[:60]!r} is not a file here; fetch it into {self._root.name}"
            )
        return find_inside(self._root, self._cut(self._local(named), self._dropped), self._folders, where)

    def read(self, named: str, where: str) -> bytes:
        """Read an image file whole; see `find`."""
        data = read_inside(self.find(named, where), where)
        return data if self._max_side is None else _shrunk(data, self._max_side, f"{where}: {named}")

    def reader(self, named: str, where: str) -> Callable[[], bytes]:
        """Give a function that reads an image file whole; see `find`."""
        return lambda: self.read(named, where)

    def size_wh(self, named: str, where: str) -> tuple[int, int] | None:
        """Give an image's width and height, or None where there is no readable image."""
        try:
            return read_header(self.read(named, where)).size_wh
        except DataError:
            return None

    def stamp(self, named: str) -> str:
        """Give what tells an image from another one under its name, without reading it."""
        try:
            return str(self.find(named, "").stat().st_size)
        except (DataError, OSError):
            return "missing"

    def place(self, named: str) -> str:
        """Give an image's path below the root, with forward slashes; as written where it is not there."""
        try:
            return self.find(named, "").relative_to(self._root).as_posix()
        except DataError:
            return named

    def _local(self, named: str) -> str:
        """Give an absolute path that leads into the root as one relative to it."""
        slashed = named.replace("\\", "/")
        if os.path.isabs(slashed):
            normal = os.path.normpath(slashed)
            for root in (os.path.abspath(self._root), str(self._real_root)):
                if normal.startswith(root + os.sep):
                    return normal[len(root) + 1 :]
        return slashed

    def _cut(self, local: str, dropped: int) -> str:
        parts = local.split("/")
        # One that leads out is not made to lead in: it is left as it is, and refused.
        if os.path.isabs(local) or os.pardir in parts or len(parts) <= dropped:
            return local
        return "/".join(parts[dropped:]) if dropped else local

    def _is_in(self, folder: Path, name: str, dropped: int) -> bool:
        try:
            find_inside(self._root, self._cut(self._local(name), dropped), (folder,), "")
        except DataError:
            return False
        return True


def _folders_in(folder: Path) -> list[Path]:
    """List a folder's folders; of its files, which may be many, nothing is asked."""
    with os.scandir(folder) as entries:
        return sorted(folder / entry.name for entry in entries if entry.is_dir(follow_symlinks=False))


def _shrunk(data: bytes, max_side: int, where: str) -> bytes:
    """Make an image smaller; what was a JPEG stays one, all else becomes a PNG."""
    # Here, since few data sets need it.
    from PIL import Image

    try:
        header = read_header(data)
        if max(header.size_wh) <= max_side:
            return data
        with Image.open(io.BytesIO(data)) as image:
            is_jpeg = image.format == "JPEG"
            small = image.convert("RGB")
        small.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: not a readable image ({error}); replace it") from error
    stream = io.BytesIO()
    if is_jpeg:
        small.save(stream, "JPEG", quality=95)
    else:
        small.save(stream, "PNG")
    return stream.getvalue()
