"""Messages over a local socket: JSON with images beside it, whole or not at all.

Takes a connected socket; gives messages in order. A message is a line of JSON, whose key "sizes" tells how
many bytes of each blob follow. Between our own processes only: nothing here defends against a stranger.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Sequence
from typing import Any


class Channel:
    """One end of a conversation; any number of threads may send, one receives.

    Args:
        end: Connected; it is closed with the channel.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._stream = end.makefile("rb")
        self._sending = threading.Lock()

    def send(self, message: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Send a message.

        Raises:
            OSError: The other side is gone.
        """
        line = json.dumps({**message, "sizes": [len(blob) for blob in blobs]}).encode() + b"\n"
        with self._sending:
            self._socket.sendall(line)
            for blob in blobs:
                self._socket.sendall(blob)

    def receive(self) -> tuple[dict[str, Any], tuple[bytes, ...]] | None:
        """Wait for a message; none once the other side is gone."""
        try:
            line = self._stream.readline()
            if not line.endswith(b"\n"):
                return None
            message: dict[str, Any] = json.loads(line)
            sizes = message.pop("sizes")
            blobs = tuple(self._stream.read(size) for size in sizes)
        except (OSError, ValueError):  # ValueError: closed by another thread of ours
            return None
        return (message, blobs) if [len(blob) for blob in blobs] == sizes else None

    def close(self) -> None:
        """End the conversation; whoever waits in `receive` here or there gets none."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:  # the other side was first
            pass
        self._socket.close()
