"""The names of requests, notifications, stages and artifacts.

Requests, with their parameters and the fields of their results:

| method | parameters | result |
| --- | --- | --- |
| initialize | | name, version, engines, pid, host (the machine's name), packings |
| generate | request, out (the job's folder) or job, resume | out, result (result.json), seconds, level_seconds |
| verify | out or job, repair (optional: make again what is damaged) | out, files, bytes, finished, damaged, seconds |
| export | out, path (the file); optional: for, up, rounds, cameras | path, splats, cameras, before, after, told |
| cancel | id (of the request) | cancelled |
| models | | models, sets, memory |
| models.offer | name | offers |
| models.get | offers | folders |
| machine | | the subjects of `dreamzoom check`: system, memory, cards, engines, models … |
| executor | executor, storage: where steps are to run | slots (steps at once), host (a machine that runs them) |
| leftovers | jobs (folders with jobs in them) | found: kind, path, bytes, days, in_use of each |
| leftovers.remove | paths, jobs | removed: as above |
| files.seen | folder, name, nonce | seen (whether the server finds this file with this content) |
| files.open | job, source, files (sha256, bytes, name) | folder, has_job, missing (sha256 → bytes that are there) |
| files.put | job, sha256, bytes, offset, chunk; the chunk is attached | at (bytes that are there) |
| files.list | job | files: name, bytes, sha256 of each |
| files.get | job, name, sha256, offset, packing | chunk; it is attached |
| files.live | job | chunk: the picture of unfinished work; it is attached |
| ping | | working (whether a request, or cancelled work, still runs) |
| shutdown | | |

Generate takes either a request, or `resume` (true) to go on with the one that the folder holds.

A client whose folders the server does not see names its job by a name of its own (`job`) in place of a folder. The
server keeps that job in a folder on its machine; a new one takes over the finished steps of `source`, if there is such
a job. The files that a request names are sent first; the request then names each as `received/<sha256>/<name>`. Files
of the result are fetched as soon as they are listed, which is when their step is done. A `chunk` tells size, sha256,
packing and stride of the attached bytes (see `transfer.packing`). Requests about files are answered in their order,
also while a job runs.

Notifications; each also carries the id of the request that it belongs to:

| notification | parameters |
| --- | --- |
| progress | stage, level, levels, fraction (0 to 1), seconds_left, message |
| log | level ("info", "warning" or "error"), message |
| artifact | kind, level, path (relative to the job's folder) |

A request's id is a whole number or text, and of no other request that is running: a request with such an id is refused
with an error whose id is null. A cancelled request is answered within half a second, also if its work needs longer to
stop; the next job waits for that. Batches are refused. What a client does not read is kept up to a limit; of progress
the latest is kept.
"""

from __future__ import annotations

INITIALIZE, GENERATE, VERIFY, CANCEL, SHUTDOWN = "initialize", "generate", "verify", "cancel", "shutdown"
EXPORT = "export"
PING = "ping"
"""Answered at once by a server that is well; it shows each side that the other one lives."""
MODELS, MODELS_OFFER, MODELS_GET = "models", "models.offer", "models.get"
MACHINE = "machine"
EXECUTOR = "executor"
FILES_SEEN, FILES_OPEN, FILES_PUT = "files.seen", "files.open", "files.put"
FILES_LIST, FILES_GET, FILES_LIVE = "files.list", "files.get", "files.live"

RECEIVED = "received"
"""The first part of the name of a file, in a request, that was sent to the server."""

LEFTOVERS, LEFTOVERS_REMOVE = "leftovers", "leftovers.remove"

REFIT_ROUNDS = 30
"""How often an export looks at each view, unless told otherwise."""

PROGRESS, LOG, ARTIFACT = "progress", "log", "artifact"

STAGES = ("plan", "zoom", "dream", "align", "refine", "splat", "export")
"""The stages of a job, in order, as named in progress notifications."""

DOWNLOAD, REFIT = "download", "refit"
"""The stage names in progress notifications while models are downloaded, and while splats are exported."""

ARTIFACTS = ("image", "cloud", "splats", "preview")
"""The kinds of files that artifact notifications report."""

CLIENT_VARIABLE = "DREAMZOOM_CLIENT"
"""The environment variable that tells a server the process id of its client, with which it ends."""
