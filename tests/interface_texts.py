"""Every text that an artist can see: what Blender has registered, and the messages in the code of add-on and server."""

import ast
import re
from pathlib import Path

import bpy

ROOT = Path(__file__).resolve().parents[1]

SHOWING = {
    "label": ("text", 0), "prop": ("text", None), "operator": ("text", None), "prop_enum": ("text", None),
    "progress": ("text", None), "menu": ("text", None), "row": ("heading", None), "column": ("heading", None),
    "popover": ("text", None), "prop_search": ("text", None), "invoke_props_dialog": ("confirm_text", None),
    "prop_menu_enum": ("text", None),
}  # fmt: skip
"""Methods of layouts whose keyword, or positional argument, is shown."""

SPEAKING = {
    "paragraph": (1,), "_draw_note": (2,), "draw_error": (1, 2, 6), "poll_message_set": (0,), "report": (1,),
    "Remedy": (0, 1, 2), "status_text_set": (0,), "iface_": (0,), "pgettext_iface": (0,), "translated": (0,),
    "DreamzoomError": (0, 1), "BadRequest": (1,), "EngineUnavailable": (0, 1), "ModelMissing": (0, 1),
    "SplatFileError": (0, 1), "_error": (1, 2), "_wrong": (1,), "Failure": (1,), "InstallError": (0,), "run": (1,),
    "failed": (0,), "_draw_install": (1,), "sentence": (0,), "_draw_question": (3,), "_can_ask": (2,),
    "offered_if": (1,),
}  # fmt: skip
"""Functions whose arguments at these positions are shown."""

KEYWORDS = {"text", "remedy", "message", "title", "placeholder", "heading", "confirm_text", "button", "reason"}
"""Keyword arguments that are shown, of the functions above."""

ERRORS = re.compile(r"\w*(?:Error|Refused|Unavailable|Missing|Invalid|Damaged|Full|Denied|NotFound)$")
"""Names of exceptions, whose texts are shown."""

SERVER = ("server/core", "server/installer", "server/dreamzoom")
NOT_SHOWN = (
    "server/core/protocol/framing", "server/dreamzoom/cli", "server/dreamzoom/machine", "server/dreamzoom/splats/",
    "server/dreamzoom/jit", "server/dreamzoom/render", "server/dreamzoom/rpc/streams",
    "server/core/transfer/packing", "server/dreamzoom/rpc/files/offers", "server/dreamzoom/rpc/files/service",
    "server/dreamzoom/rpc/requests", "server/dreamzoom/rpc/intake",
    "server/dreamzoom/sampling",
    "server/dreamzoom/geometry/unproject", "server/dreamzoom/pipeline/executors", "server/dreamzoom/pipeline/steps",
    "server/dreamzoom/pipeline/run_step", "server/dreamzoom/pipeline/runner", "server/dreamzoom/stages/base/digest",
    "server/dreamzoom/engines/procedural/world",
)  # fmt: skip
"""What only the command line or an engineer sees."""

RETURNING = ("addon/ui", "addon/scene/prompt_changes", "addon/backend/readiness", "addon/rig/lookup")
"""Where functions return texts that are shown."""

UNSEEN = {"no newer pip", "no socket {0}; there are {1}", "{0}: the extra column {1} ({2}) can't be stored in a PLY"}
"""Texts that are caught before anyone reads them, or can't come from what an artist does."""


def registered():
    """Texts by where they stand: operators, panels, properties, enums and their tooltips."""
    found = {}
    for name in sorted(dir(bpy.types)):
        if not re.match(r"DREAMZOOM_|DreamzoomPreferences", name):
            continue
        cls = getattr(bpy.types, name)
        for attribute in ("bl_label", "bl_description"):
            _note(found, getattr(cls, attribute, ""), name)
    classes = [bpy.types.Object.bl_rna.properties["dreamzoom"].fixed_type]
    classes.append(bpy.types.Scene.bl_rna.properties["dreamzoom"].fixed_type)
    for category in (bpy.ops.dreamzoom,):
        for name in dir(category):
            rna = getattr(category, name).get_rna_type()
            _note(found, rna.name, f"operator {name}")
            _note(found, rna.description, f"operator {name}")
            classes.append(rna)
    from addon.ui import preferences

    classes += [cls.bl_rna for cls in preferences.CLASSES]
    seen = set()
    while classes:
        rna = classes.pop()
        if rna.identifier in seen:
            continue
        seen.add(rna.identifier)
        known = rna.base.properties.keys() if rna.base else ()
        for prop in rna.properties:
            if prop.identifier in known or prop.identifier == "rna_type":
                continue
            place = f"{rna.identifier}.{prop.identifier}"
            hidden = prop.is_hidden and not prop.name
            if not hidden and (
                not rna.base or rna.base.identifier != "AddonPreferences" or not prop.identifier.startswith("bl_")
            ):
                _note(found, prop.name, place)
                _note(found, prop.description, place)
            for item in getattr(prop, "enum_items_static", ()) if prop.type == "ENUM" else ():
                _note(found, item.name, f"{place}={item.identifier}")
                _note(found, item.description, f"{place}={item.identifier}")
            if prop.type in ("POINTER", "COLLECTION") and not prop.fixed_type.identifier[0].isdigit():
                fixed = prop.fixed_type
                if fixed.base and fixed.base.identifier == "PropertyGroup":
                    classes.append(fixed)
    return found


def messages():
    """Texts in the code, with `{0}`, `{1}` in the places of values."""
    found = {}
    for file in _sources():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        place = file.relative_to(ROOT).as_posix()
        constants = _constants(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                for text in _shown(node, constants):
                    _note(found, text, f"{place}:{node.lineno}")
            elif isinstance(node, ast.Return) and place.startswith(RETURNING):
                for text in _texts(node.value, {}):
                    _note(found, text, f"{place}:{node.lineno}")
            elif isinstance(node, ast.Assign) and _is_table(node):
                for text in _texts(node.value, constants):
                    _note(found, text, f"{place}:{node.lineno}")
    return found


def _sources():
    yield from sorted((ROOT / "addon").rglob("*.py"))
    for folder in SERVER:
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = file.relative_to(ROOT).as_posix()
            if not name.startswith(NOT_SHOWN):
                yield file


def _is_table(node):
    names = [target.id for target in node.targets if isinstance(target, ast.Name)]
    return any(re.fullmatch(r"\w*(?:LABELS|STAGES|STATES|REPORTS|FIELDS|TITLES|MESSAGES)", name) for name in names)


def _constants(tree):
    """Texts that are assigned to names."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return found


def _shown(node, constants):
    """The texts of a call that an artist sees."""
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name == "report" and not isinstance(function, ast.Attribute):
        return
    if isinstance(function, ast.Attribute) and name in SHOWING:
        keyword, position = SHOWING[name]
        chosen = [item.value for item in node.keywords if item.arg in (keyword, "placeholder", "heading")]
        chosen += [node.args[position]] if position is not None and len(node.args) > position else []
    elif name in SPEAKING or ERRORS.match(name):
        if name == "run" and len(node.args) < 2:
            return
        positions = SPEAKING.get(name, (0, 1))
        chosen = [node.args[position] for position in positions if len(node.args) > position]
        chosen += [item.value for item in node.keywords if item.arg in KEYWORDS]
    else:
        return
    for value in chosen:
        yield from _texts(value, constants)


def _texts(value, constants, depth=0):
    """The texts that an expression can be, with places for values."""
    if isinstance(value, ast.Constant):
        if isinstance(value.value, str):
            yield value.value
    elif isinstance(value, ast.JoinedStr):
        yield _template(value)
    elif isinstance(value, ast.IfExp):
        yield from _texts(value.body, constants, depth)
        yield from _texts(value.orelse, constants, depth)
    elif isinstance(value, ast.BoolOp):
        for part in value.values:
            yield from _texts(part, constants, depth)
    elif isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        left, right = (list(_texts(part, constants, depth)) for part in (value.left, value.right))
        if isinstance(value.left, ast.Call) or isinstance(value.right, ast.Call):
            yield from [*left, *right]
        elif len(left) == len(right) == 1:
            yield left[0] + right[0]
    elif isinstance(value, ast.Call):
        function = value.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in ("iface_", "translated", "sentence", "pgettext_iface") and value.args:
            yield from _texts(value.args[0], constants, depth)
        elif name == "format" and isinstance(function, ast.Attribute):
            yield from _texts(function.value, constants, depth)
        elif name == "get" and len(value.args) == 2:
            yield from _texts(value.args[1], constants, depth)
    elif isinstance(value, ast.Dict):
        for part in value.values:
            yield from _texts(part, constants, depth)
    elif isinstance(value, (ast.Tuple, ast.List)):
        for part in value.elts:
            yield from _texts(part, constants, depth)
    elif isinstance(value, ast.Name) and depth < 2:
        for assigned in constants.get(value.id, ()):
            yield from _texts(assigned, constants, depth + 1)


def _template(joined):
    """An f-string with `{0}`, `{1}` … in the places of its values; texts that a value is one of stay values."""
    count, parts = 0, []
    for part in joined.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        else:
            parts.append(f"{{{count}}}")
            count += 1
    return "".join(parts)


def _note(found, text, place):
    text = " ".join((text or "").split()) if "\n" in (text or "") else (text or "")
    letters = re.sub(r"\{\w*\}|\W|\d", "", text)
    is_name = re.fullmatch(r"[A-Z]{2,}(?:_[A-Z0-9]+)*|[a-z0-9_./-]+", text)
    if len(letters) >= 2 and not is_name and text not in UNSEEN:
        found.setdefault(text, place)


def column_texts():
    """Names of properties as the panels draw them in columns with the name on the left ("name"), and the names of their
    values ("value")."""
    drawn = {}
    for file in sorted((ROOT / "addon/ui/panels").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            is_prop = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "prop"
            if is_prop and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
                shown = [item.value for item in node.keywords if item.arg == "text"]
                text = shown[0].value if shown and isinstance(shown[0], ast.Constant) else None
                column = isinstance(node.func.value, ast.Name) and node.func.value.id == "column"
                if column and (text is None or text):
                    drawn[node.args[1].value] = text
    for owner in (bpy.types.Object, bpy.types.Scene):
        todo = [owner.bl_rna.properties["dreamzoom"].fixed_type]
        while todo:
            for prop in todo.pop().properties:
                if prop.type in ("POINTER", "COLLECTION"):
                    inner = prop.fixed_type
                    todo += [inner] if inner.base and inner.base.identifier == "PropertyGroup" else []
                if prop.identifier in drawn:
                    if prop.type != "BOOLEAN":
                        yield drawn[prop.identifier] or prop.name, "name"
                    for item in getattr(prop, "enum_items_static", ()) if prop.type == "ENUM" else ():
                        yield item.name, "value"
