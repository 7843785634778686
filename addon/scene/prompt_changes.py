"""What has changed since a rig's last finished job: the state of each level, and which levels Generate will redo."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from .. import rig
from ..backend import job_folders
from ..backend.current_job import Job
from ..core import reach
from ..core.protocol import messages
from ..rig import cameras
from . import engine_options
from .disk_looks import DiskLooks, stamp

_pictures: DiskLooks[str, str] = DiskLooks(stamp, 2.0)
"""Stamps of the artist's own pictures."""

MISSING, STALE, DREAMED, WAITING, DREAMING = "missing", "stale", "dreamed", "waiting", "dreaming"
"""States of a level: never dreamed; dreamed, but changed since; dreamed as it is; waiting in a job; at work."""


IMAGE = 3
"""Where a level's picture stands in what `prompts_of` tells of the level."""


SIZE = 2
"""Where the pictures' width and height stand in what `prompts_of` tells of the whole rig."""


def prompts_of(settings) -> str:
    """What the pictures of a rig's levels depend on, of its `RigSettings`, as JSON."""
    engine = engine_options.of_rig(settings, check=False)  # whether a file is missing, Generate will say
    levels = []
    for item in settings.levels:
        image = bpy.path.abspath(item.image) if item.image else None
        focus = [round(value, 5) for value in item.focus] if any(item.focus) else None
        seed = item.seed if item.use_seed else None
        levels.append([item.prompt, item.negative_prompt, seed, image, focus])
    factor = round(settings.zoom_factor, 5)
    whole = [settings.seed, settings.quality, _picture_size(settings), factor, settings.loop, engine]
    return json.dumps([whole, levels], ensure_ascii=False)


def prompts_in(request: dict[str, Any]) -> str:
    """The same of a request."""
    levels = []
    for item in request["levels"]:
        focus = [round(value, 5) for value in item["focus"]] if item.get("focus") else None
        levels.append([item["prompt"], item.get("negative_prompt", ""), item.get("seed"), item.get("image"), focus])
    size = [request["width"], request["height"]]
    factor = round(request["zoom_factor"], 5)
    engine = engine_options.as_sent(request["engine"])
    whole = [request["seed"], request["quality"], size, factor, request.get("loop", False), engine]
    return json.dumps([whole, levels], ensure_ascii=False)


def _picture_size(settings) -> list[int]:
    """Width and height of the pictures that Generate would ask for in the present scene, else in that of the rig."""
    root, scene = settings.id_data, bpy.context.scene
    if root.name not in scene.objects:
        scene = next(iter(root.users_scene), scene)
    return list(cameras.picture_size(scene.render, settings.size))


def note_sent(settings) -> list[str]:
    """Remember which level is which in the job that is sent now, and which pictures go with it.

    Returns:
        The stamps of the pictures, empty for levels without one.
    """
    rig.give_keys(settings)
    for level, item in enumerate(settings.levels):
        item.sent_as = level
        item.sent_picture = stamp(bpy.path.abspath(item.image)) if item.image else ""
    return [item.sent_picture for item in settings.levels]


def note_resumed(settings, request: dict[str, Any]) -> None:
    """Remember which level is which in a job that goes on. Prompts that the file does not have are filled in."""
    levels = request["levels"]
    for level, item in enumerate(settings.levels):
        item.sent_as = level if level < len(levels) else -1
    for item, index in zip(settings.levels, sent_as(settings, request)):
        item.sent_as, item.sent_picture = index, ""  # the job has copies of the pictures
        if index >= 0 and not item.prompt:
            item.prompt = str(levels[index].get("prompt", ""))[:4000]


def note_dreamed(settings, request: dict[str, Any], seconds: Sequence[float], pictures: Sequence[str] = ()) -> None:
    """Remember what the newest finished job was asked for.

    Args:
        settings: Of the rig.
        request: What was asked for.
        seconds: How long each of its levels took; empty where that is not known.
        pictures: What `note_sent` returned; empty where that is not known.
    """
    settings.dreamed = prompts_in(request)
    for item, index in zip(settings.levels, sent_as(settings, request)):
        item.dreamed_as = index
        item.dreamed_picture = pictures[index] if 0 <= index < len(pictures) else item.sent_picture
        if seconds or index < 0:
            item.seconds = seconds[index] if 0 <= index < len(seconds) else 0.0


def sent_as(settings, request: dict[str, Any] | None) -> list[int]:
    """For each level of the list, which level of a request it is, by their keys; -1 for one that is not in it. Where
    the request tells no keys, as of the job that was sent last.
    """
    keys = [level.get("key", 0) for level in request["levels"]] if request else []
    rows = rig.rows_of_keys(settings, keys)
    if not rows:
        return [item.sent_as for item in settings.levels]
    found = {row: index for index, row in rows.items()}
    return [found.get(row, -1) for row in range(len(settings.levels))]


def changed(settings) -> set[int]:
    """The levels that are new, moved or changed since the last finished job; empty where there was none."""
    if not settings.dreamed:
        return set()
    count = len(settings.levels)
    whole, levels = json.loads(prompts_of(settings))
    before = json.loads(settings.dreamed)
    if not isinstance(before[0], list):  # as stored before more than prompts and seeds counted
        before, whole, levels = before, whole[0], [level[:3] for level in levels]
    elif isinstance(before[0][SIZE], int):  # as stored before the shape counted
        whole[SIZE] = max(whole[SIZE])
    if before[0] != whole or len(before[1]) > count:
        return set(range(count))
    known = any(item.dreamed_as >= 0 for item in settings.levels)
    return {
        level
        for level, item in enumerate(settings.levels)
        if (known and item.dreamed_as != level)
        or level >= len(before[1])
        or _differs(before[1][level], levels[level], item)
    }


def _differs(before: list, now: list, item) -> bool:
    """Whether a level is another than what was dreamed: by its picture's content, where that is known, not its path."""
    if len(now) <= IMAGE or not (before[IMAGE] and now[IMAGE] and item.dreamed_picture):
        return before != now
    present = _pictures.get(now[IMAGE]) if job_folders.is_trusted_place(Path(now[IMAGE])) else ""
    present = present or item.dreamed_picture  # where it is missing, Generate will say so
    if present != item.dreamed_picture:
        return True
    return [*before[:IMAGE], *before[IMAGE + 1 :]] != [*now[:IMAGE], *now[IMAGE + 1 :]]


def redone(settings) -> list[int]:
    """The levels that Generate will dream again because of changes."""
    count, found = len(settings.levels), changed(settings)
    if not found:
        return []
    if settings.engine != "procedural" or len(found) == count:
        return list(range(count))
    loop = settings.loop and count > 1
    return reach.redone(found, count, settings.zoom_factor, settings.size, loop)


def states(settings, job: Job | None) -> list[str]:
    """The state of each level."""
    count = len(settings.levels)
    again = set(redone(settings)) if settings.dreamed else set(range(count))
    known = any(item.dreamed_as >= 0 for item in settings.levels)
    found = []
    for level, item in enumerate(settings.levels):
        is_new = not settings.dreamed or (known and item.dreamed_as < 0)
        found.append(MISSING if is_new else STALE if level in again else DREAMED)
    if job is not None and job.is_active and job.status != "importing" and job.method == messages.GENERATE:
        for level, index in enumerate(sent_as(settings, job.request)):
            if index < 0:
                continue
            if job.level is not None and job.level == index and job.status == "running":
                found[level] = DREAMING
            elif index in job.finished_levels:
                found[level] = DREAMED
            elif found[level] != DREAMED:
                found[level] = WAITING
    return found


def seconds_for(settings, levels: list[int]) -> float | None:
    """How long these levels took in the last job; None where one is new, so that it is not known."""
    seconds = [settings.levels[level].seconds for level in levels]
    measured = [value for value in seconds if value > 0]
    if not measured:
        return None
    return sum(value or sum(measured) / len(measured) for value in seconds)


def notice(settings) -> str:
    """A sentence about the levels that Generate will dream again because of changes; empty for none."""
    found = changed(settings)
    if not found:
        return ""
    count, again = len(settings.levels), redone(settings)
    if len(again) == count:
        which = iface_("all levels")
    elif len(again) == 1:
        which = iface_("level {number}").format(number=again[0])
    else:
        which = iface_("levels {first} to {last}").format(first=again[0], last=again[-1])
    if len(found) == 1:
        told = iface_("New prompts: level {number} has changed and can be seen in others, so Generate redoes {which}.")
        return told.format(number=min(found), which=which)
    told = iface_("New prompts: {count} levels have changed and can be seen in others, so Generate redoes {which}.")
    return told.format(count=len(found), which=which)
