"""Operators that set up this machine: the installation of the server, its test, its log, the preferences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty
from bpy.types import Operator

from ... import __package__ as base_package
from ...backend import installation, job_folders, launch, machine_report, preferences, readiness
from ...core.errors import DreamzoomError
from .common import Result, can_use_server, offered_if, report

LOGS = (
    ("INSTALL", "Installation", "The output of the last installation"),
    ("SERVER", "Server", "What the server wrote last"),
    ("NONE", "None", "No log"),
)


class DREAMZOOM_OT_install_server(Operator):
    """Install the server's packages"""

    bl_idname = "dreamzoom.install_server"
    bl_label = "Install"
    bl_description = (
        "Install the server's packages into a folder of their own, once. Takes a few minutes and some gigabytes; "
        "Blender stays usable meanwhile, and what was downloaded before is kept"
    )

    @classmethod
    def poll(cls, context):
        if not bpy.app.online_access:
            cls.poll_message_set("Allow Online Access in the preferences, under System, first")
            return False
        if installation.state.running is not None:
            cls.poll_message_set("The installation is running")
            return False
        if launch.chosen_python() is not None or preferences.get("server_command"):
            cls.poll_message_set(
                "A Python or a server of your own is chosen in the preferences: empty that field first"
            )
            return False
        return True

    def execute(self, context) -> Result:
        try:
            installation.start()
        except OSError as error:
            self.report({"ERROR"}, f"The installation can't be started: {error}")
            return {"CANCELLED"}
        return {"FINISHED"}


class DREAMZOOM_OT_cancel_install(Operator):
    """Stop the installation. What was downloaded is kept, and Go On continues from there"""

    bl_idname = "dreamzoom.cancel_install"
    bl_label = "Cancel Installation"

    poll = offered_if(lambda: installation.state.running, "No installation is running")

    def execute(self, context) -> Result:
        installation.stop()
        return {"FINISHED"}


class DREAMZOOM_OT_allow_online_access(Operator):
    """Let Blender use the network, as in the preferences under System"""

    bl_idname = "dreamzoom.allow_online_access"
    bl_label = "Allow Online Access"

    @classmethod
    def poll(cls, context):
        if bpy.app.online_access:
            cls.poll_message_set("Online access is allowed already")
            return False
        if bpy.app.online_access_override:
            cls.poll_message_set("Blender was started with --offline-mode: start it without")
            return False
        return True

    def execute(self, context) -> Result:
        context.preferences.system.use_online_access = True
        return {"FINISHED"}


def _can_ask(cls: type[Operator], question: machine_report.Question, asked: str) -> bool:
    """Whether the server can be asked something; why not is in the tooltip, `asked` if it is being asked."""
    if not can_use_server(cls):
        return False
    if question.is_running:
        cls.poll_message_set(asked)
        return False
    return True


def _asked(operator: Operator, question: Callable[[], None]) -> Result:
    """Ask the server something."""
    try:
        question()
    except DreamzoomError as error:
        return report(operator, error)
    return {"FINISHED"}


class _Chooser:
    """An operator that lets the artist choose a file or folder in the file browser."""

    def invoke(self, context, event) -> Result:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}


class DREAMZOOM_OT_choose_python(_Chooser, Operator):
    """Choose a Python 3.11. One with the server's packages is used as it is; from another, Install makes one"""

    bl_idname = "dreamzoom.choose_python"
    bl_label = "Choose a Python"

    filepath: StringProperty(name="Python", description="The executable of a Python 3.11", subtype="FILE_PATH")

    @classmethod
    def poll(cls, context):
        return _has_preferences(cls)

    def execute(self, context) -> Result:
        chosen = Path(bpy.path.abspath(self.filepath))
        if not chosen.is_file():
            self.report({"WARNING"}, f"There is no file {chosen}")
            return {"CANCELLED"}
        is_own = readiness.current().state == readiness.WRONG_PYTHON
        setattr(_preferences(), "server_python" if is_own else "base_python", str(chosen))
        return {"FINISHED"}


class DREAMZOOM_OT_forget_python(Operator):
    """Empty the choice of a Python, so that the one that Install sets up is used"""

    bl_idname = "dreamzoom.forget_python"
    bl_label = "Use the Installed One"

    @classmethod
    def poll(cls, context):
        if not _has_preferences(cls):
            return False
        if not _preferences().server_python:
            cls.poll_message_set(f"The Python is chosen by the environment variable {launch.PYTHON_VARIABLE}")
            return False
        return True

    def execute(self, context) -> Result:
        _preferences().server_python = ""
        return {"FINISHED"}


class DREAMZOOM_OT_choose_environment_folder(_Chooser, Operator):
    """Choose the folder in which the server's packages are installed, on a disk with room"""

    bl_idname = "dreamzoom.choose_environment_folder"
    bl_label = "Choose a Folder"

    directory: StringProperty(name="Folder", description="Where the packages are installed", subtype="DIR_PATH")

    @classmethod
    def poll(cls, context):
        return _has_preferences(cls)

    def execute(self, context) -> Result:
        _preferences().environment_folder = self.directory
        return {"FINISHED"}


class DREAMZOOM_OT_choose_certificates(_Chooser, Operator):
    """Choose the file with the certificates that downloads accept, in PEM form; your network's administrator has it"""

    bl_idname = "dreamzoom.choose_certificates"
    bl_label = "Choose a Certificate File"

    filepath: StringProperty(name="Certificates", description="A file with certificates", subtype="FILE_PATH")

    @classmethod
    def poll(cls, context):
        return _has_preferences(cls)

    def execute(self, context) -> Result:
        _preferences().certificates = self.filepath
        return {"FINISHED"}


class DREAMZOOM_OT_copy_command(Operator):
    """Copy the command that mends this to the clipboard"""

    bl_idname = "dreamzoom.copy_command"
    bl_label = "Copy the Command"

    poll = offered_if(lambda: _command(), "There is no command to copy")

    def execute(self, context) -> Result:
        context.window_manager.clipboard = _command()
        return {"FINISHED"}


class DREAMZOOM_OT_copy_error(Operator):
    """Copy this message and the end of the log to the clipboard, to ask for help with it"""

    bl_idname = "dreamzoom.copy_error"
    bl_label = "Copy Error"

    message: StringProperty(name="Message", description="The text of the error", options={"SKIP_SAVE"})
    log: EnumProperty(name="Log", description="The log that tells more", items=LOGS, default="SERVER")

    def execute(self, context) -> Result:
        told = _log_text(self.log)
        if not self.message and not told:
            self.report({"WARNING"}, "There is no error, and no log yet")
            return {"CANCELLED"}
        context.window_manager.clipboard = f"{self.message}\n\n{told}".strip() + "\n"
        self.report({"INFO"}, "The message and its log are on the clipboard")
        return {"FINISHED"}


class DREAMZOOM_OT_open_log(Operator):
    """Open the whole log"""

    bl_idname = "dreamzoom.open_log"
    bl_label = "Open Log"

    log: EnumProperty(name="Log", description="Whose log", items=LOGS, default="SERVER")

    def execute(self, context) -> Result:
        file = _log_file(self.log)
        if file is None or not file.is_file():
            self.report({"WARNING"}, "There is no log yet")
            return {"CANCELLED"}
        bpy.ops.wm.path_open(filepath=str(file))
        return {"FINISHED"}


class DREAMZOOM_OT_test_server(Operator):
    """Start the server and see what it finds: graphics card, memory, engines, models"""

    bl_idname = "dreamzoom.test_server"
    bl_label = "Test"

    @classmethod
    def poll(cls, context):
        return _can_ask(cls, machine_report.report, "The test is running")

    def execute(self, context) -> Result:
        return _asked(self, machine_report.start)


class DREAMZOOM_OT_forget_test(Operator):
    """Close the result of the test"""

    bl_idname = "dreamzoom.forget_test"
    bl_label = "Close the Test"

    poll = offered_if(machine_report.has_answers, "Nothing was tested")

    def execute(self, context) -> Result:
        machine_report.forget()
        return {"FINISHED"}


class DREAMZOOM_OT_try_steps(Operator):
    """Try whether steps can run there: start or reach one worker, and put a file into the storage and fetch it"""

    bl_idname = "dreamzoom.try_steps"
    bl_label = "Try Where Steps Run"

    @classmethod
    def poll(cls, context):
        return _can_ask(cls, machine_report.steps, "It is being tried")

    def execute(self, context) -> Result:
        return _asked(
            self, lambda: machine_report.try_steps(preferences.get("executor") or "local", preferences.get("storage"))
        )


class DREAMZOOM_OT_find_kept(Operator):
    """List what Dreamzoom keeps on this machine's disks: jobs, models, compiled code, environments"""

    bl_idname = "dreamzoom.find_kept"
    bl_label = "What Is Kept on Disk"

    @classmethod
    def poll(cls, context):
        if not can_use_server(cls):
            return False
        if machine_report.kept.is_running:
            cls.poll_message_set("The disks are being looked at")
            return False
        return True

    def execute(self, context) -> Result:
        return _asked(self, lambda: machine_report.find_kept(job_folders.places()))


class DREAMZOOM_OT_remove_kept(Operator):
    """Remove this from the disk. What it held is made or downloaded again when it is needed; a job's result is gone"""

    bl_idname = "dreamzoom.remove_kept"
    bl_label = "Remove from Disk"

    path: StringProperty(name="Folder", description="The folder that is removed", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context):
        return DREAMZOOM_OT_find_kept.poll(context)

    def invoke(self, context, event) -> Result:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context) -> Result:
        return _asked(self, lambda: machine_report.remove_kept(self.path, job_folders.places()))


class DREAMZOOM_OT_forget_kept(Operator):
    """Close the list of what is kept on disk"""

    bl_idname = "dreamzoom.forget_kept"
    bl_label = "Close the List"

    poll = offered_if(lambda: machine_report.kept.is_told, "There is no list to close")

    def execute(self, context) -> Result:
        machine_report.forget_kept()
        return {"FINISHED"}


class DREAMZOOM_OT_open_preferences(Operator):
    """Open Dreamzoom's preferences"""

    bl_idname = "dreamzoom.open_preferences"
    bl_label = "Open Preferences"

    def execute(self, context) -> Result:
        bpy.ops.preferences.addon_show(module=str(base_package))
        return {"FINISHED"}


def _command() -> str:
    failure = readiness.current().failure
    return failure.command if failure is not None else ""


def _preferences() -> bpy.types.AddonPreferences | None:
    addon = bpy.context.preferences.addons.get(str(base_package))
    return addon.preferences if addon else None


def _has_preferences(cls: type[Operator]) -> bool:
    if _preferences() is None:
        cls.poll_message_set("Dreamzoom is not installed as an extension")
        return False
    return True


def _log_file(log: str) -> Path | None:
    return {"INSTALL": installation.log_file, "SERVER": launch.log_file}.get(log, lambda: None)()


def _log_text(log: str) -> str:
    if log == "INSTALL":
        return installation.log_text()
    file = _log_file(log)
    try:
        return file.read_text(encoding="utf-8", errors="replace")[-200_000:] if file else ""
    except OSError:
        return ""


CLASSES = (
    DREAMZOOM_OT_install_server,
    DREAMZOOM_OT_cancel_install,
    DREAMZOOM_OT_allow_online_access,
    DREAMZOOM_OT_choose_python,
    DREAMZOOM_OT_forget_python,
    DREAMZOOM_OT_choose_environment_folder,
    DREAMZOOM_OT_choose_certificates,
    DREAMZOOM_OT_copy_command,
    DREAMZOOM_OT_copy_error,
    DREAMZOOM_OT_open_log,
    DREAMZOOM_OT_test_server,
    DREAMZOOM_OT_forget_test,
    DREAMZOOM_OT_try_steps,
    DREAMZOOM_OT_find_kept,
    DREAMZOOM_OT_remove_kept,
    DREAMZOOM_OT_forget_kept,
    DREAMZOOM_OT_open_preferences,
)

register, unregister = bpy.utils.register_classes_factory(CLASSES)
