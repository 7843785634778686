"""Jobs on a machine that may not see the job folder: what the artist chose as the server's command decides nothing, the
server is asked. Where it does not see the folder, files travel: see `backend.remote`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..backend import current_job, error_messages, job_folders, launch, main_loop
from ..backend.client import Ended
from ..backend.connection import connection
from ..backend.current_job import CAPTURED, DREAMED, Job
from ..backend.remote import transfer as transfers
from ..backend.remote.link import ConnectionCut
from ..backend.remote.transfer import Transfer
from ..core.errors import DreamzoomError
from ..core.protocol import messages
from . import importing

SENT = 0.1
"""The fraction of a job at which its files have been sent, where there are any."""


def begin(job: Job, ask: Callable[[], None], take_result: Callable[[], None]) -> None:
    """Begin to send a job's files, if need be.

    Args:
        job: The job.
        ask: Sends the job's request to the server, once it has the files.
        take_result: Takes the result that the server has announced, once its files are here.

    Raises:
        DreamzoomError: There is no server, or no job folder.
    """
    try:
        job_folders.make_private(job.folder)
    except OSError as error:
        raise DreamzoomError(f"The job folder can't be created: {error}", "Choose another folder") from error
    given = None if job.resumes or job.method != messages.GENERATE else job.request
    job.transfer = Transfer(connection.open(), job.folder, given)
    main_loop.start(partial(_follow, job, job.transfer, ask, take_result))


def place(job: Job) -> dict[str, str]:
    """How the server is told where a job lies: by its folder, or by its name where it does not see that."""
    is_remote = job.transfer is not None and job.transfer.is_remote
    return {"job": job.transfer.job} if is_remote else {"out": str(job.folder)}


def note_begun(job: Job) -> None:
    """The server has begun with a job."""
    if job.transfer is not None and job.transfer.is_remote:
        job.transfer.note_begun()


def take_artifact(job: Job, kind: str, level: object, name: str) -> bool:
    """Take the news of a file that the server has written; whether it has to travel first."""
    transfer = job.transfer
    if transfer is None or not transfer.is_remote:
        return False
    if kind == "preview" and "/" not in name:
        transfer.announce_picture()
    if kind == "splats" and isinstance(level, int):
        transfer.announce(level)
    return True


def fetch_all(job: Job) -> bool:
    """Fetch what is not here of a job that the server has finished; whether there is anything to wait for."""
    transfer = job.transfer
    if transfer is None or not transfer.is_remote:
        return False
    job.status, job.level, job.ends_at = "fetching", None, None
    transfer.finish(thorough=job.method == messages.VERIFY)
    return True


def cut(job: Job, ended: Ended) -> DreamzoomError | None:
    """The error for a job whose server has ended; None where nobody can call that a cut connection."""
    if job.transfer is None or ended.is_wanted:
        return None
    if job.method == messages.VERIFY:
        return error_messages.of_cut(ended, connection.host, ("Check and Repair", "dreamzoom.repair"))
    return error_messages.of_cut(ended, connection.host)


def can_resend(job: Job | None) -> bool:
    """Whether a job that failed can go on as it was sent: its connection was cut, and what it asked for is known."""
    failed = job is not None and job.status == "failed" and job.error is not None
    return failed and job.error.operator == error_messages.GO_ON and job.request is not None and not job.resumes


def _follow(job: Job, transfer: Transfer, ask: Callable[[], None], take_result: Callable[[], None]) -> float | None:
    """Look what a transfer has done since the last call."""
    if job.transfer is not transfer or not job.is_active or job.status == "importing":
        transfer.close()
        return None
    phase = transfer.phase
    if phase == transfers.FAILED:
        _fail(job, transfer)
        return None
    if phase == transfers.SENDING:
        _show_sending(job, transfer)
    elif phase == transfers.SENT and job.method == messages.EXPORT:
        told = f"The server on {connection.host} does not see the folders of this machine, so it can't export into one"
        job.finish("failed", DreamzoomError(told, "Export with Export Splats, or put the job folder where both see it"))
        return None
    elif phase in (transfers.SHARED, transfers.SENT) and job.request_id < 0:
        job.status = "starting"
        ask()
    if phase == transfers.SHARED:
        job.transfer = None
        return None
    _take_arrived(job, transfer)
    if phase == transfers.WHOLE:
        take_result()
        return None
    return main_loop.TICK


def _show_sending(job: Job, transfer: Transfer) -> None:
    job.status = "sending"
    if transfer.to_send:
        job.advance(transfer.sent / transfer.to_send, CAPTURED, SENT)
    main_loop.redraw()


def _take_arrived(job: Job, transfer: Transfer) -> None:
    """Show what has arrived: pictures, and levels, each of which is imported as soon as it is here."""
    if transfer.picture != job.preview:
        job.preview = transfer.picture
        main_loop.redraw()
    levels = transfer.arrived()
    job.finished_levels |= levels
    if levels and job.import_when_done:
        importing.import_while_running(job)
    if job.status == "fetching" and transfer.to_fetch:
        job.advance(transfer.fetched / transfer.to_fetch, DREAMED, (1 + DREAMED) / 2)
        main_loop.redraw()


def _fail(job: Job, transfer: Transfer) -> None:
    error = transfer.error
    if isinstance(error, ConnectionCut):
        error = cut(job, error.ended) or error_messages.of_end(error.ended, launch.log_file())
    elif job.request_id >= 0 and job.status in current_job.ON_SERVER:
        connection.cancel(job.request_id)
    job.finish("cancelled" if job.status == "cancelling" else "failed", error)
