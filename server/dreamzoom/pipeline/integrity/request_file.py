"""The request in a job's folder: request.json, a second copy of it, and its hash in the journal.

The hash tells which of the two is right. A request that fits neither the hash nor the copy was damaged, or changed by
hand: the job is then not run, since it would be another one.
"""

from __future__ import annotations

import hashlib

import msgspec

from core.errors import DamagedJob, DreamzoomError, RefusedFile
from core.safety import limits
from dreamzoom.pipeline import journal
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.versions import keep_result
from dreamzoom.request import validation
from dreamzoom.request.schema import Request
from dreamzoom.stages.base import layout
from dreamzoom.stages.base.digest import digest_of


def read_request(folder: Folder) -> Request:
    """Read the request of a job folder.

    Raises:
        DreamzoomError: The folder contains no job.
        DamagedJob: The request is missing, or is not the one that the job was begun with.
        BadRequest: The request file is no request.
    """
    if not folder.is_job():
        raise DreamzoomError(
            f"{folder.root} contains no job", "choose a folder that was passed to `dreamzoom generate` as --out"
        )
    path = folder.root / layout.REQUEST
    repair = f'run "dreamzoom verify --repair {folder.root}" to put it back'
    data = stored(folder, layout.REQUEST)
    if data is None:
        raise DamagedJob(f"{path} is missing", repair, (layout.REQUEST,))
    if not is_right(folder, data):
        raise DamagedJob(
            f"{path} was damaged, or changed after the job began; nothing was run",
            f'{repair}; to change the job on purpose, pass the new request to "dreamzoom generate"',
            (layout.REQUEST,),
        )
    return validation.decode_request(data)


def write_request(folder: Folder, request: Request) -> str:
    """Write the request, its copy, and its hash into the journal. The caller holds the folder's lock.

    The result of another request becomes a version first, so that result and request always agree, and a job that
    fails takes nothing away. The copy is written first: a request that equals it is whole, even if the process is ended
    before the journal tells of it.

    Returns:
        SHA-256 of request.json, in hex.
    """
    data = validation.encode_request(request)
    digest = hashlib.sha256(data).hexdigest()
    is_known = journal.request_digest(journal.read(folder)) == digest
    if stored(folder, layout.REQUEST) != data and not _fits_result(folder, request):
        keep_result(folder)
        folder.remove(layout.RESULT.path())
    for name in (layout.REQUEST_COPY, layout.REQUEST):
        if stored(folder, name) != data:
            folder.write(name, data)
    if not is_known:
        journal.note(folder, "request", digest=digest)
    return digest


def is_right(folder: Folder, data: bytes) -> bool:
    """Whether these bytes of request.json are those that the job was begun with, as far as can be told."""
    known = journal.request_digest(journal.read(folder))
    copy = stored(folder, layout.REQUEST_COPY)
    if known is None and copy is None:
        return not _contradicts_result(folder, data)
    return hashlib.sha256(data).hexdigest() == known or data == copy


def restore(folder: Folder) -> bool:
    """Put the request back from whichever of its two copies fits the journal's hash, or else the result.

    Returns:
        Whether something was written. The caller holds the folder's lock.

    Raises:
        DamagedJob: Neither copy is the request that the job was begun with.
    """
    both = {name: stored(folder, name) for name in (layout.REQUEST, layout.REQUEST_COPY)}
    known = journal.request_digest(journal.read(folder))
    values = [data for data in both.values() if data is not None]
    right = next((data for data in values if _is_the_one(folder, data, known)), None)
    if right is None and known is None and len(set(values)) == 1:
        right = values[0]  # a job of an older version, or one that lost its journal
    if right is None:
        raise DamagedJob(
            f"{folder.root / layout.REQUEST} is damaged, and so is its copy {layout.REQUEST_COPY}",
            'pass the original request to "dreamzoom generate": what fits it is kept',
            tuple(both),
        )
    for name, data in both.items():
        if data != right:
            folder.write(name, right)
    return any(data != right for data in both.values())


def stored(folder: Folder, name: str) -> bytes | None:
    """The bytes of request.json or its copy; None if it is missing. Raises RefusedFile for a link or the like."""
    try:
        return folder.read(name, limits.REQUEST_BYTES)
    except FileNotFoundError:
        return None


def _is_the_one(folder: Folder, data: bytes, known: str | None) -> bool:
    if known is not None:
        return hashlib.sha256(data).hexdigest() == known
    try:
        return _fits_result(folder, validation.decode_request(data))
    except DreamzoomError:
        return False


def _fits_result(folder: Folder, request: Request) -> bool:
    """Whether the folder's result was made from this request; False if there is none."""
    return _result_digest(folder) == digest_of(msgspec.to_builtins(request))


def _contradicts_result(folder: Folder, data: bytes) -> bool:
    """Whether the folder's result was made from another request than this one."""
    try:
        request = validation.decode_request(data)
    except DreamzoomError:
        return False  # that it is no request is said where it is read
    return _result_digest(folder) is not None and not _fits_result(folder, request)


def _result_digest(folder: Folder) -> str | None:
    """The digest of the request from which the folder's result was made; None if it can't be told."""
    try:
        result = folder.read_json(layout.RESULT.path(), limits.RESULT_BYTES)
    except (FileNotFoundError, RefusedFile):
        return None
    digest = result.get("request_digest") if isinstance(result, dict) else None
    return digest if isinstance(digest, str) else None
