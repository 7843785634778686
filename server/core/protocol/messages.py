"""The names of requests, notifications, stages and artifacts.

Requests, with their parameters and the fields of their results:

| method | parameters | result |
| --- | --- | --- |
| initialize | | name, version, engines, pid |
| generate | request, out (the job's folder) | out, result (path of result.json), seconds, level_seconds (a list) |
| cancel | id (of the request) | cancelled |
| models | | models, sets, memory |
| models.offer | name | offers |
| models.get | offers | folders |
| machine | | the subjects of `dreamzoom check`: system, memory, cards, engines, models … |
| shutdown | | |

Notifications; each also carries the id of the request that it belongs to:

| notification | parameters |
| --- | --- |
| progress | stage, level, levels, fraction (0 to 1), seconds_left, message |
| log | level ("info", "warning" or "error"), message |
| artifact | kind, level, path (relative to the job's folder) |
"""

from __future__ import annotations

INITIALIZE, GENERATE, CANCEL, SHUTDOWN = "initialize", "generate", "cancel", "shutdown"
MODELS, MODELS_OFFER, MODELS_GET = "models", "models.offer", "models.get"
MACHINE = "machine"

PROGRESS, LOG, ARTIFACT = "progress", "log", "artifact"

STAGES = ("plan", "zoom", "dream", "align", "refine", "splat", "export")
"""The stages of a job, in order, as named in progress notifications."""

DOWNLOAD = "download"
"""The stage name in progress notifications while models are downloaded."""

ARTIFACTS = ("image", "cloud", "splats", "preview")
"""The kinds of files that artifact notifications report."""
