"""Cameras that are bound to timeline markers: Blender makes them the scene's camera when a frame is set or rendered."""

from __future__ import annotations

import bpy


def camera_at(scene: bpy.types.Scene, frame: int) -> bpy.types.Object | None:
    """The camera that Blender renders at a frame: that of the last marker up to it, else that of the first marker with
    a camera, else the scene's.
    """
    bound = sorted(_bound(scene), key=lambda marker: marker.frame)
    if not bound:
        return scene.camera
    before = [marker for marker in bound if marker.frame <= frame]
    return (before or bound[:1])[-1].camera


def cameras_of(scene: bpy.types.Scene, first: int, last: int) -> list[bpy.types.Object]:
    """The cameras that Blender renders from frame `first` to `last`, each once, in the order of their appearance."""
    starts = [first, *sorted(marker.frame for marker in _bound(scene) if first < marker.frame <= last)]
    found = [camera_at(scene, frame) for frame in starts]
    return list(dict.fromkeys(camera for camera in found if camera is not None))


def show(scene: bpy.types.Scene, camera: bpy.types.Object, first: int, last: int) -> str:
    """Let a render of the frames `first` to `last` show `camera`, whatever markers bind other cameras.

    Markers among these frames are bound to it; where an earlier one binds another camera, a marker is added at `first`,
    and one after `last` that gives the other camera back.

    Returns:
        What was done, as a part of a report; empty if no marker was in the way.
    """
    scene.camera = camera
    if cameras_of(scene, first, last) == [camera]:
        return ""
    after = camera_at(scene, last + 1)
    changed = [marker for marker in _bound(scene) if first <= marker.frame <= last]
    for marker in changed:
        marker.camera = camera
    if camera_at(scene, first) != camera or not any(marker.frame == first for marker in changed):
        scene.timeline_markers.new("Dreamzoom", frame=first).camera = camera
    if camera_at(scene, last + 1) != after and any(marker.frame > last for marker in _bound(scene)):
        scene.timeline_markers.new(after.name, frame=last + 1).camera = after
    scene.camera = camera_at(scene, scene.frame_current)
    names = ", ".join(f"“{marker.name}”" for marker in changed[:3]) + (", …" if len(changed) > 3 else "")
    return f"markers {names} now bind the rig's camera" if changed else "a marker now binds the rig's camera"


def _bound(scene: bpy.types.Scene) -> list[bpy.types.TimelineMarker]:
    """The markers whose camera counts: Blender passes over cameras that are hidden in renders."""
    return [marker for marker in scene.timeline_markers if marker.camera is not None and not marker.camera.hide_render]
