"""Draws panels without a window: a layout that refuses what Blender's would, and remembers what it was given."""

from types import SimpleNamespace

import bpy

ICONS = set(bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items.keys())


class Layout:
    """What `draw` gets in the place of Blender's layout.

    Attributes:
        texts: All labels, in order.
        buttons: Names of the operators, with the texts on their buttons.
    """

    def __init__(self, parent=None):
        self.texts = parent.texts if parent else []
        self.buttons = parent.buttons if parent else []
        self.alignment, self.active, self.enabled, self.alert = "EXPAND", True, True, False
        self.scale_y = self.scale_x = self.ui_units_x = 1.0
        self.use_property_split = self.use_property_decorate = False
        self.operator_context = "INVOKE_DEFAULT"

    def _part(self, **options):
        assert options.keys() <= {"align", "heading", "factor", "translate", "heading_ctxt"}
        return Layout(self)

    row = column = split = box = _part

    def panel(self, idname, default_closed=False):
        return Layout(self), Layout(self)

    def separator(self, **options):
        pass

    def label(self, text="", icon="NONE", icon_value=0, translate=True):
        assert isinstance(text, str) and icon in ICONS and isinstance(icon_value, int)
        self.texts.append(text)

    def operator(self, name, text="", icon="NONE", emboss=True, depress=False, **_):
        assert (text is None or isinstance(text, str)) and icon in ICONS
        kind = getattr(bpy.ops.dreamzoom, name.removeprefix("dreamzoom.")).get_rna_type()
        self.buttons.append((name, text or kind.name))
        return Button(kind)

    def prop(self, data, name, text=None, icon="NONE", expand=False, slider=False, toggle=-1, emboss=True, **options):
        assert icon in ICONS and options.keys() <= {"placeholder", "icon_value", "translate", "index"}
        if name.startswith("["):
            data.path_resolve(name)
        else:
            assert name in data.bl_rna.properties, f"{data} has no {name}"
            getattr(data, name)

    def prop_enum(self, data, name, value, text="", icon="NONE"):
        assert value in data.bl_rna.properties[name].enum_items

    def progress(self, factor=0.0, text="", **_):
        assert 0 <= factor <= 1 and isinstance(text, str)
        self.texts.append(text)

    def menu(self, name, text="", icon="NONE"):
        assert hasattr(bpy.types, name) and icon in ICONS

    def template_icon(self, icon_value, scale=1.0):
        assert icon_value >= 0 and scale > 0

    def template_list(self, kind, _name, data, items, active_data, active, **_):
        for index, item in enumerate(getattr(data, items)):
            shown = SimpleNamespace()
            getattr(bpy.types, kind).draw_item(
                shown, bpy.context, Layout(self), data, item, 0, active_data, active, index, 0
            )


class Button:
    """Takes the settings of a button, those that its operator has."""

    def __init__(self, kind):
        self.__dict__["kind"] = kind

    def __setattr__(self, name, value):
        prop = self.kind.properties[name]
        wanted = {"STRING": str, "BOOLEAN": bool, "INT": int, "FLOAT": (int, float), "ENUM": str}[prop.type]
        assert isinstance(value, wanted), f"{self.kind.identifier}.{name} = {value!r}"


def drawn(panel):
    """Draw a panel, if it would be shown, with its header; the layout that it was drawn in, or None."""
    if hasattr(panel, "poll") and not panel.poll(bpy.context):
        return None
    layout = Layout()
    for name in ("draw_header", "draw"):
        if hasattr(panel, name):
            getattr(panel, name)(SimpleNamespace(layout=layout), bpy.context)
    return layout


def all_drawn():
    """Draw the whole tab and the lines in the headers; the layouts by the names of their panels."""
    from addon.ui import panels

    found = {}
    for module in panels.MODULES:
        for cls in module.CLASSES:
            if issubclass(cls, (bpy.types.Panel, bpy.types.Menu)):
                found[cls.__name__] = drawn(cls)
    for name in ("draw_in_header",):
        header = SimpleNamespace(layout=Layout())
        getattr(panels.jobs, name)(header, bpy.context)
        found[name] = header.layout
    return found
