"""What Generate will do again: the words of the levels now, against those of the job that was made."""

from __future__ import annotations

import json

from ..core import reach


def words_of(settings) -> str:
    """What the levels say, as it is kept with a finished job: JSON."""
    levels = [[item.prompt, item.negative_prompt, item.seed if item.use_seed else None] for item in settings.levels]
    return json.dumps([settings.seed, levels], ensure_ascii=False)


def told(settings) -> str:
    """Which levels Generate will dream again since their words have changed, as a sentence; empty for none."""
    if not settings.dreamed:
        return ""
    seed, before = json.loads(settings.dreamed)
    _, now = json.loads(words_of(settings))
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
    return f"New words: {what} changed and can be seen in others, so Generate redoes {which}."
