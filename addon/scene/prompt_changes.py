"""Which levels Generate will dream again: the prompts of a rig now, compared with those of its last finished job."""

from __future__ import annotations

import json

from ..core import reach


def prompts_of(settings) -> str:
    """The prompts and seeds of a rig's `RigSettings`, as JSON; stored with the rig when a job has finished."""
    levels = [[item.prompt, item.negative_prompt, item.seed if item.use_seed else None] for item in settings.levels]
    return json.dumps([settings.seed, levels], ensure_ascii=False)


def notice(settings) -> str:
    """A sentence about the levels that Generate will dream again because of changed prompts; empty for none."""
    if not settings.dreamed:
        return ""
    seed, before = json.loads(settings.dreamed)
    _, now = json.loads(prompts_of(settings))
    count = len(now)
    changed = {k for k in range(count) if k >= len(before) or before[k] != now[k]}
    if seed != settings.seed or len(before) > count:
        changed = set(range(count))
    if not changed:
        return ""
    again = list(range(count))
    if settings.engine == "procedural":
        loop = settings.loop and count > 1
        again = reach.redone(changed, count, settings.zoom_factor, settings.size, loop)
    what = f"level {min(changed)} has" if len(changed) == 1 else f"{len(changed)} levels have"
    which = "all levels" if len(again) == count else f"levels {again[0]} to {again[-1]}"
    if len(again) == 1 < count:
        which = f"level {again[0]}"
    return f"New prompts: {what} changed and can be seen in others, so Generate redoes {which}."
