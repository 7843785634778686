"""Operators of example flights: one button from nothing to a dreamed flight, and its presets."""

from __future__ import annotations

import math

import bpy
from bl_operators.presets import AddPresetBase
from bpy.types import Menu, Operator

from ... import rig
from ...backend import current_job
from ...core.errors import DreamzoomError
from ...jobs import example_flight, generation
from ...results import render_settings
from ...scene.time_slicing import SLICE_SECONDS
from .common import Result, in_object_mode, report, select_only

PRESETS = "dreamzoom/flights"


class DREAMZOOM_MT_flights(Menu):
    """Ready flights, and those that were saved"""

    bl_label = "Space to Atom"
    preset_subdir = PRESETS
    preset_operator = "script.execute_preset"

    def draw(self, context):
        self.draw_preset(context)


class DREAMZOOM_OT_flight_preset(AddPresetBase, Operator):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Save the flight of the active rig, or remove a saved one"""

    bl_idname = "dreamzoom.flight_preset"
    bl_label = "Save Flight"
    preset_menu = "DREAMZOOM_MT_flights"
    preset_subdir = PRESETS
    preset_defines = ("flight = bpy.context.scene.dreamzoom.flight",)
    preset_values = (
        "flight.prompts",
        "flight.zoom_factor",
        "flight.frames_per_level",
        "flight.loop",
        "flight.seed",
    )

    @classmethod
    def poll(cls, context):
        if rig.active_rig(context) is None:
            cls.poll_message_set("Create a rig first: its prompts are saved")
            return False
        return True

    def pre_cb(self, context) -> None:
        """Called by Blender before it writes the file."""
        if not (self.remove_name or self.remove_active):
            example_flight.remember(rig.active_rig(context), context.scene.dreamzoom.flight)


class DREAMZOOM_OT_example_flight(Operator):
    """Make a rig with ready prompts and dream it at once, at draft quality: each level appears as soon as it is done"""

    bl_idname = "dreamzoom.example_flight"
    bl_label = "Example Flight"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        return in_object_mode(cls, context)

    def invoke(self, context, event) -> Result:
        """From a button: Blender stays usable while the scene is captured."""
        example_flight.show(context.screen)
        return self._make(context, SLICE_SECONDS, play=True)

    def execute(self, context) -> Result:
        """From a script: the scene has been captured when this returns."""
        return self._make(context, math.inf, play=False)

    def _make(self, context, seconds: float, play: bool) -> Result:
        root = example_flight.create(context.scene, context.scene.dreamzoom.flight)
        fitted = render_settings.fit_resolution(context.scene, root)
        select_only(context, root)
        try:
            job = generation.generate(root, context.scene, context.view_layer, seconds=seconds)
        except DreamzoomError as error:  # the rig stays: Generate can be pressed once the reason is gone
            current_job.refuse(error, root.session_uid)
            report(self, error, "WARNING")
            return {"FINISHED"}
        job.play_when_done = play
        job.made_ready += [fitted] if fitted else []
        return {"FINISHED"}


CLASSES = (DREAMZOOM_MT_flights, DREAMZOOM_OT_flight_preset, DREAMZOOM_OT_example_flight)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
