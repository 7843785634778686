"""Sends files to the server: chunk after chunk, several at a time, each from where an earlier connection ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ...core.errors import DreamzoomError, RefusedFile
from ...core.protocol import messages
from ...core.safety import limits
from ...core.safety.regular_files import open_regular
from ...core.transfer.packing import CHUNK, Packer
from .inputs import Input
from .link import Link


def send(
    link: Link, job: str, files: Sequence[Input], there: Mapping[str, int], packing: str, sent: Callable[[int], None]
) -> None:
    """Send files.

    Args:
        link: To the server.
        job: The job that they are for.
        files: The files.
        there: How many bytes of each the server has, by SHA-256.
        packing: How chunks may be packed.
        sent: Gets the bytes of each chunk that has arrived.

    Raises:
        DreamzoomError: A file can't be read or has changed, the server refuses one, or the connection was cut.
    """
    for one in files:
        _send_one(link, job, one, there[one.sha256], packing, sent)
    while not link.is_empty:
        link.finish_one()


def _send_one(link: Link, job: str, one: Input, offset: int, packing: str, sent: Callable[[int], None]) -> None:
    about = {"job": job, "sha256": one.sha256, "bytes": one.bytes, "name": one.name}
    try:
        with open_regular(one.path, limits.SPLAT_FILE_BYTES, links=True) as file:
            packer = Packer(one.name, packing, file.read(4096))
            file.seek(offset)
            is_first = True
            while (chunk := file.read(CHUNK)) or is_first:  # one without bytes lets the server take up an empty file
                is_first = False
                packed = packer.pack(chunk)
                while link.is_full:
                    link.finish_one()
                size = len(chunk)
                params = about | {"offset": offset, "chunk": packed.fields()}
                link.begin(messages.FILES_PUT, params, size, lambda _, size=size: sent(size), packed.data)
                offset += size
    except (OSError, RefusedFile) as error:
        if isinstance(error, DreamzoomError) and not isinstance(error, RefusedFile):
            raise
        raise DreamzoomError(f"{one.path} can't be read any more: {error}", "Choose the file again") from None
