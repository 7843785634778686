"""A tour through the add-on in a Blender window: `blender --python tour.py -- PLAN.json`.

The plan:
    zip         the extension to install
    out         folder of the screenshots
    parts       which of "install", "flight", "tools", "stranger" to go through, in order
    language    of the interface, "en_US" by default
    scale       of the interface, 1 by default
    base        a Python 3.11 for the installation
    index       environment variables of a package index for the installation, and of one that does not answer
    server      the server's Python for the flight
    patience    seconds that a step may take
    frames      of the longest film that a stranger renders
    samples     of that film, and percent of the resolution, where they are not to be those chosen by the add-on
    direct      whether a stranger renders at once, without looking at levels and another prompt
    sidebar     whether screenshots show the sidebar alone, where that is what changes
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from window import driver  # noqa: E402

NAME = "bl_ext.user_default.dreamzoom"
PROMPTS = ("the earth from space", "snowy mountains", "a forest", "moss on a rock")


class Tour:
    """The steps, with what they share."""

    def __init__(self, plan: dict):
        self.plan = plan
        self.driver = driver.Driver(Path(plan["out"]), float(plan.get("patience", 240)), bool(plan.get("asks")))

    def steps(self) -> driver.Steps:
        """All parts of the plan."""
        yield from self.start()
        for part in self.plan["parts"]:
            yield from getattr(self, part)()

    def start(self) -> driver.Steps:
        """Install the extension from its zip, and open its tab."""
        view = bpy.context.preferences.view
        view.ui_scale = float(self.plan.get("scale", 1.0))
        language = self.plan.get("language", "en_US")
        if language != "en_US":
            view.language = language
            view.use_translate_interface = view.use_translate_tooltips = view.use_translate_reports = True
        bpy.ops.extensions.package_install_files(filepath=self.plan["zip"], repo="user_default", enable_on_install=True)
        yield None
        if self.plan.get("base"):
            self.preferences.base_python = self.plan["base"]
        self.preferences.hardware = "cpu"
        self.driver.note("enabled", version=bpy.app.version_string)
        yield from driver.show_tab("Dreamzoom")
        self.driver.box = driver.sidebar_box() if self.plan.get("sidebar") else None
        if self.plan["parts"] != ["stranger"]:
            with self.context():
                bpy.ops.dreamzoom.create_rig(levels=4, frames_per_level=6)
        yield None

    def install(self) -> driver.Steps:
        """Every state of the installation: none, failing, going on, running, stopped, ready."""
        shot, states = self.driver.shot, self.part("backend.readiness")
        yield from shot("install_1_not_set_up", state=states.current().state)
        yield from self.preferences_shot("install_2_preferences")
        os.environ.update(self.plan["index"]["unreachable"])
        yield from self.press_install(lambda: states.current().state == "broken")
        yield from shot("install_3_no_network", state=states.current().state, cause=states.current().failure.cause)
        os.environ.update(self.plan["index"]["reachable"])
        running = self.part("backend.installation").state
        yield from self.press_install(lambda: not running.running or bool(running.running.standing.get("done")))
        self.expect("installing", states.current())
        yield from shot("install_4_downloading", state=states.current().state)
        with self.context():
            bpy.ops.dreamzoom.cancel_install()
        yield from shot("install_5_stopped", state=states.current().state)
        yield from self.press_install(lambda: running.running is None)
        self.expect("ready", states.current())
        yield from shot("install_6_ready", state=states.current().state)
        self.preferences.server_python = str(Path(self.plan["zip"]))
        yield lambda: states.current().state == "wrong_python"
        yield from shot("install_7_wrong_python", state=states.current().state)
        yield from self.preferences_shot("install_8_wrong_python_preferences")
        self.preferences.server_python = ""

    @staticmethod
    def expect(state: str, found) -> None:
        """Raise RuntimeError unless the machine is in this state."""
        if found.state != state:
            raise RuntimeError(f"{found.state} in place of {state}: {found.failure or found.error}")

    def press_install(self, until) -> driver.Steps:
        """Press Install, and wait."""
        with self.context():
            bpy.ops.dreamzoom.install_server("INVOKE_DEFAULT")
        yield until

    def flight(self) -> driver.Steps:
        """From prompts to a rendered frame."""
        shot, jobs = self.driver.shot, self.part("backend.current_job")
        self.preferences.server_python = self.plan["server"]
        yield self.part("backend.readiness").is_ready
        with self.context():
            bpy.ops.dreamzoom.test_server()
        yield lambda: not self.part("backend.machine_report").report.is_running
        yield from self.preferences_shot("flight_0_test", found=self.part("backend.machine_report").report.lines)
        root = bpy.context.scene.dreamzoom.rig
        settings = root.dreamzoom
        for level, prompt in zip(settings.levels, PROMPTS):
            level.prompt = prompt
        settings.quality, settings.size = "draft", 192
        settings.job_folder = str(self.driver.out / "job")
        scene = bpy.context.scene
        scene.render.resolution_x, scene.render.resolution_y = 192, 108
        yield from shot("flight_1_prompts")
        with self.context():
            bpy.ops.dreamzoom.hide_in_the_way("EXEC_DEFAULT", True)  # as a button does, with its step of undo
        yield from self.generate("flight_2_generating", undone=True)
        yield from shot("flight_3_imported", status=self.last(jobs).status)
        self.look_through_the_camera()
        self.driver.box = None
        yield 15.0  # EEVEE compiles its shaders
        yield from shot("flight_4_camera")
        scene = bpy.context.scene  # undo has made it anew
        scene.dreamzoom.rig.dreamzoom.levels[3].prompt = "a crystal on a rock"
        yield from shot("flight_5_changed_prompt")
        yield from self.generate("flight_6_generating_again")
        yield from shot("flight_7_imported_again", status=self.last(jobs).status)
        with self.context():
            bpy.ops.dreamzoom.render_settings(samples=4)
        scene.render.filepath = str(self.driver.out / "rendered.png")
        with self.context():
            bpy.ops.render.render(write_still=True)
        self.driver.note("rendered", size=(self.driver.out / "rendered.png").stat().st_size)
        yield from shot("flight_8_rendered")

    def tools(self) -> driver.Steps:
        """After the flight: the guide, Zoom Here, what is missing, Branch, versions and the search, each undone."""
        name = bpy.context.scene.dreamzoom.rig.name  # undo makes objects anew
        self.beside_the_camera()
        yield from self.driver.shot("tools_1_guide", shown=bpy.data.objects[name].dreamzoom.show_guide)
        yield from self.zoom_here(name)
        yield from self.missing(name)
        yield from self.branch(name)
        yield from self.versions(name)
        yield from self.search()

    def zoom_here(self, name: str) -> driver.Steps:
        """Click a point of the ground for the next level, and take it back."""
        window, area = driver.viewport()
        region = next(region for region in area.regions if region.type == "WINDOW")
        before = tuple(bpy.data.objects[name].dreamzoom.levels[0].focus)
        place = region.x + region.width // 2 + 40, region.y + region.height // 2
        with self.context():
            bpy.ops.dreamzoom.zoom_here("INVOKE_DEFAULT")
        yield None
        yield from driver.press(window, "MOUSEMOVE", *place)
        yield from self.driver.shot("tools_2_zoom_here")
        yield from driver.press(window, "LEFTMOUSE", *place)
        yield 0.5
        chosen = tuple(bpy.data.objects[name].dreamzoom.levels[0].focus)
        yield from self.driver.shot("tools_3_zoomed_here", before=before, focus=chosen)
        yield from self.undo()
        undone = tuple(bpy.data.objects[name].dreamzoom.levels[0].focus)
        self.driver.note("undone Zoom Here", focus=undone)

    def missing(self, name: str) -> driver.Steps:
        """Move the camera beyond what was dreamed, as its key says, and dream what is missing there."""
        jobs, scene = self.part("backend.current_job"), bpy.context.scene
        rig = self.part("rig")
        root = bpy.data.objects[name]
        root[rig.ORBIT[2:-2]] = 0.6
        root.update_tag()
        scene.frame_set(scene.frame_end)
        yield 0.5
        with self.context():
            bpy.ops.dreamzoom.check_flight()
        yield from self.driver.shot("tools_4_outside", told=root.dreamzoom.outside)
        yield from self.generate("tools_5_dreaming_what_is_missing")
        yield from self.driver.shot("tools_6_dreamed_what_is_missing", status=self.last(jobs).status)

    def branch(self, name: str) -> driver.Steps:
        """A second flight out of level 1, and back."""
        bpy.data.objects[name].dreamzoom.active_level = 1
        with self.context():
            bpy.ops.dreamzoom.branch("INVOKE_DEFAULT", True)
        made = bpy.context.scene.dreamzoom.rig
        yield from self.driver.shot("tools_7_branch", rig=made.name, levels=len(made.dreamzoom.levels))
        yield from self.undo()
        self.driver.note("undone Branch Here", rig=bpy.context.scene.dreamzoom.rig.name)

    def versions(self, name: str) -> driver.Steps:
        """The earlier version of the last level, and back."""
        jobs, versions = self.part("backend.current_job"), self.part("results.versions")
        root = bpy.data.objects[name]
        level = root.dreamzoom.active_level = len(root.dreamzoom.levels) - 1
        yield lambda: any(version.name for version in versions.of_rig(bpy.data.objects[name]))
        earlier = [version.name for version in versions.of_rig(root) if version.name]
        yield from self.driver.shot("tools_8_versions", earlier=earlier)
        with self.context():
            bpy.ops.dreamzoom.level_version("INVOKE_DEFAULT", version=earlier[-1], level=level)
        yield lambda: not jobs.is_busy()
        locked = bpy.data.objects[name].dreamzoom.levels[level].lock
        yield from self.driver.shot("tools_9_earlier_version", status=self.last(jobs).status, locked=locked)
        yield from self.undo()
        self.driver.note("undone Use Version", locked=bpy.data.objects[name].dreamzoom.levels[level].lock)

    def search(self) -> driver.Steps:
        """F3, and some letters of an operator."""
        window, area = driver.viewport()
        place = area.x + area.width // 3, area.y + area.height // 2
        yield from driver.press(window, "MOUSEMOVE", *place)
        yield from driver.press(window, "F3", *place)
        yield 0.5
        for letter in "zoom here":
            key = "SPACE" if letter == " " else letter.upper()
            yield from driver.press(window, key, *place, unicode=letter)
        yield 1.0
        yield from self.driver.shot("tools_10_search")
        yield from driver.press(window, "ESC", *place)

    def undo(self) -> driver.Steps:
        """Ctrl Z above the viewport."""
        window, area = driver.viewport()
        place = area.x + area.width // 3, area.y + area.height // 2
        yield from driver.press(window, "MOUSEMOVE", *place)
        yield from driver.press(window, "Z", *place, ctrl=True)
        yield 1.0

    @staticmethod
    def beside_the_camera() -> None:
        """Look at the rig from the side, with the overlays."""
        space = driver.viewport()[1].spaces.active
        space.region_3d.view_perspective = "PERSP"
        space.overlay.show_overlays = True

    def stranger(self) -> driver.Steps:
        """What a new user does who reads nothing but the panel: Install, Example Flight, another prompt, the film."""
        shot, jobs, scene = self.driver.shot, self.part("backend.current_job"), bpy.context.scene
        states = self.part("backend.readiness")
        yield from shot("stranger_1_begin", state=states.current().state)
        if self.plan.get("server"):
            self.preferences.server_python = self.plan["server"]
            yield states.is_ready
        else:
            running = self.part("backend.installation").state
            yield from self.press_install(lambda: not running.running or bool(running.running.standing.get("done")))
            yield from shot("stranger_2_installing", state=states.current().state)
            yield lambda: running.running is None
            self.expect("ready", states.current())
        yield from shot("stranger_3_installed", state=states.current().state)
        with self.context():
            bpy.ops.dreamzoom.example_flight("INVOKE_DEFAULT")
        root = scene.dreamzoom.rig
        self.driver.note("pressed Example Flight")
        yield lambda: not jobs.is_busy() or bool(self.last(jobs).imported_levels)
        yield from shot("stranger_4_first_level", status=self.last(jobs).status)
        yield lambda: not jobs.is_busy()
        self.expect_done(self.last(jobs))
        yield from shot("stranger_5_flight", status=self.last(jobs).status)
        self.stop_playing()
        if not self.plan.get("direct"):
            yield from self.another_prompt(root)
        if self.plan.get("percent"):
            scene.render.resolution_percentage = int(self.plan["percent"])
        yield from self.film()

    def another_prompt(self, root) -> driver.Steps:
        """Look at levels, and dream again after one prompt was changed."""
        shot, scene = self.driver.shot, bpy.context.scene
        for level in (0, 2, len(root.dreamzoom.levels) - 1):
            scene.frame_set(scene.frame_start + level * root.dreamzoom.frames_per_level)
            yield 4.0
            yield from shot(f"stranger_6_level_{level}")
        root.dreamzoom.levels[-1].prompt = "a crystal lattice"
        yield from shot("stranger_7_changed_prompt")
        yield from self.generate("stranger_8_generating_again")
        yield from shot("stranger_9_imported_again", status=self.last(self.part("backend.current_job")).status)

    def film(self) -> driver.Steps:
        """Set up the render of a film, and render it."""
        shot, scene = self.driver.shot, bpy.context.scene
        with self.context():
            bpy.ops.dreamzoom.render_settings(samples=int(self.plan.get("samples", 0)), output="VIDEO")
        scene.frame_end = min(scene.frame_end, scene.frame_start - 1 + int(self.plan.get("frames", 1000)))
        self.driver.note("the film goes to", path=scene.render.filepath, frames=scene.frame_end)
        film = Path(bpy.path.abspath(scene.render.filepath))
        ended: list[bool] = []
        bpy.app.handlers.render_complete.append(lambda *_: ended.append(True))
        bpy.app.handlers.render_cancel.append(lambda *_: ended.append(False))
        with self.context():
            bpy.ops.render.render("INVOKE_DEFAULT", animation=True)
        yield 3.0
        yield from shot("stranger_10_rendering")
        yield lambda: bool(ended)
        self.driver.note("film", size=film.stat().st_size if film.is_file() else 0)
        yield from shot("stranger_11_rendered")

    @staticmethod
    def stop_playing() -> None:
        """Stop the animation, as the space bar does."""
        window = bpy.context.window_manager.windows[0]
        if window.screen.is_animation_playing:
            with bpy.context.temp_override(window=window):
                bpy.ops.screen.animation_cancel(restore_frame=False)

    @staticmethod
    def expect_done(job) -> None:
        """Raise RuntimeError unless a job is done."""
        if job.status != "done":
            raise RuntimeError(f"the job {job.status}: {job.error}")

    def generate(self, name: str, undone: bool = False) -> driver.Steps:
        """Press Generate, save a screenshot on the way, perhaps undo the levels that have come, and wait for the
        imported result.
        """
        jobs = self.part("backend.current_job")
        with self.context():
            bpy.ops.dreamzoom.generate("INVOKE_DEFAULT")
        yield lambda: not jobs.is_busy() or bool(self.last(jobs).preview)
        yield from self.driver.shot(name, status=self.last(jobs).status)
        if undone:
            yield lambda: not jobs.is_busy() or len(self.last(jobs).imported_levels) > 1
            shown = self.shown()
            yield from self.undo()
            self.driver.note("undone while levels arrive", before=shown, after=self.shown())
        yield lambda: not jobs.is_busy()
        self.expect_done(self.last(jobs))
        yield 0.5

    def shown(self) -> int:
        """How many objects of levels the scene has."""
        return sum(self.part("rig").CONTENT in obj for obj in bpy.context.scene.objects)

    @staticmethod
    def last(jobs):
        """The current job."""
        return jobs.get()

    def look_through_the_camera(self) -> None:
        """Show the viewport through the camera, in the colours of the materials."""
        space = driver.viewport()[1].spaces.active
        space.region_3d.view_perspective = "CAMERA"
        space.shading.type = "MATERIAL"

    def preferences_shot(self, name: str, **findings) -> driver.Steps:
        """A screenshot of the add-on's page in the preferences, in the place of the viewport."""
        area = driver.one_area("PREFERENCES")
        bpy.context.preferences.active_section = "ADDONS"
        bpy.context.window_manager.addon_search = "Dreamzoom"
        with self.context():
            bpy.ops.preferences.addon_expand(module=NAME)
        box, self.driver.box = self.driver.box, None
        yield from self.driver.shot(name, **findings)
        self.driver.box = box
        with self.context():
            bpy.ops.preferences.addon_expand(module=NAME)
        area.type = "VIEW_3D"
        yield None
        yield from driver.show_tab("Dreamzoom")

    def context(self):
        """The window and viewport, as operators see them when a button of the sidebar is pressed."""
        window = bpy.context.window_manager.windows[0]
        areas = [area for area in window.screen.areas if area.type in ("VIEW_3D", "PREFERENCES")]
        area = max(areas, key=lambda found: found.width * found.height)
        region = next(region for region in area.regions if region.type == "WINDOW")
        return bpy.context.temp_override(window=window, screen=window.screen, area=area, region=region)

    @property
    def preferences(self):
        """The add-on's preferences."""
        return bpy.context.preferences.addons[NAME].preferences

    def part(self, name: str):
        """One of the add-on's modules."""
        return importlib.import_module(f"{NAME}.{name}")


def main() -> None:
    """Begin the tour of the plan that the last argument names."""
    plan = json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8"))
    bpy.context.preferences.view.show_splash = False  # it would take all events
    tour = Tour(plan)
    tour.driver.run(tour.steps())


main()
