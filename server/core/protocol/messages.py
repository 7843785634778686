"""The names of requests, notifications, stages and artifacts.

Requests, with their parameters and the fields of their results:

| method | parameters | result |
| --- | --- | --- |
| initialize | | name, version, engines, pid |
| generate | request, out (the job's folder), resume | out, result (path of result.json), seconds, level_seconds |
| verify | out, repair (optional: make again what is damaged) | out, files, bytes, finished, damaged, seconds |
| export | out, path (the file); optional: for, up, rounds, cameras | path, splats, cameras, before, after, told |
| cancel | id (of the request) | cancelled |
| models | | models, sets, memory |
| models.offer | name | offers |
| models.get | offers | folders |
| machine | | the subjects of `dreamzoom check`: system, memory, cards, engines, models … |
| executor | executor, storage: where steps are to run | slots (steps at once), host (a machine that runs them) |
| leftovers | jobs (folders with jobs in them) | found: kind, path, bytes, days, in_use of each |
| leftovers.remove | paths, jobs | removed: as above |
| ping | | working (whether a request, or cancelled work, still runs) |
| shutdown | | |

Generate takes either a request, or `resume` (true) to go on with the one that the folder holds.

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
