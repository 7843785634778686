"""Fetches files from the server: chunk after chunk, several at a time, each file from where a cut connection ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...core.errors import RefusedFile
from ...core.protocol import messages
from ...core.transfer.packing import CHUNK, unpack
from .link import Link
from .mirror import Mirror, Offered


def fetch(
    link: Link,
    mirror: Mirror,
    files: Sequence[Offered],
    packing: str,
    fetched: Callable[[int], None],
    arrived: Callable[[str], None],
) -> bool:
    """Fetch files into a job folder.

    Args:
        link: To the server.
        mirror: The folder.
        files: In the order in which they are fetched.
        packing: How chunks may be packed.
        fetched: Gets the bytes of each chunk that is there.
        arrived: Gets the name of each file that is in its place.

    Returns:
        Whether all are there; else some have changed on the server or arrived damaged, and are to be listed again.

    Raises:
        DreamzoomError: The disk is full or the like, or the connection was cut. What has arrived is kept.
        Stopped: The transfer was ended from here.
    """
    arriving = [_Arriving(mirror, one, fetched, arrived) for one in files]
    try:
        for one in arriving:
            one.begin(link, packing)
        while not link.is_empty:
            link.finish_one()
    finally:
        for one in arriving:
            one.close()
    return all(one.is_put for one in arriving)


class _Arriving:
    """A file on its way.

    Attributes:
        is_put: Whether it is in its place.
    """

    def __init__(self, mirror: Mirror, file: Offered, fetched: Callable[[int], None], arrived: Callable[[str], None]):
        self._mirror, self._file, self._fetched, self._arrived = mirror, file, fetched, arrived
        self._partial = None
        self._is_given_up = self.is_put = False

    def begin(self, link: Link, packing: str) -> None:
        """Ask for all chunks that are not there; wait only while enough is under way."""
        file = self._file
        self._partial = self._mirror.partial(file)
        offset = self._partial.at
        self._fetched(offset)
        about = {"job": self._mirror.job, "name": file.name, "sha256": file.sha256, "packing": packing}
        if self._partial.is_whole:
            self._put()
        while offset < file.bytes and not self._is_given_up:
            while link.is_full:
                link.finish_one()
            size, params = min(CHUNK, file.bytes - offset), about | {"offset": offset}
            link.begin(messages.FILES_GET, params, size, self._taker(offset), refused=self._give_up)
            offset += size

    def close(self) -> None:
        """Keep what has arrived."""
        if self._partial is not None:
            self._partial.close()

    def _taker(self, offset: int) -> Callable[[dict[str, Any]], None]:
        def take(answer: dict[str, Any]) -> None:
            fields = answer.get("chunk")
            if self._is_given_up or self._partial is None:
                return
            try:
                chunk = unpack(answer["attachment"], fields if isinstance(fields, dict) else {})
                self._partial.add(offset, chunk)
            except RefusedFile:
                self._give_up()
                return
            self._fetched(len(chunk))
            if self._partial.is_whole:
                self._put()

        return take

    def _put(self) -> None:
        assert self._partial is not None
        try:
            self._mirror.put(self._file, self._partial)
        except RefusedFile:
            self._give_up()
            return
        self.is_put = True
        self._arrived(self._file.name)

    def _give_up(self, error: object = None) -> None:
        self._is_given_up = True
