"""Registering classes together with the functions that draw into Blender's own menus and headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import bpy


def with_menus(
    classes: Sequence[type], entries: Sequence[tuple[str, Callable]]
) -> tuple[Callable[[], None], Callable[[], None]]:
    """The functions `register` and `unregister` of a module.

    Args:
        classes: Its classes, in the order of their registration.
        entries: Names of menus or headers, as "TOPBAR_MT_file_import", each with what draws at its end.
    """

    def register() -> None:
        for cls in classes:
            bpy.utils.register_class(cls)
        for name, draw in entries:
            getattr(bpy.types, name).append(draw)

    def unregister() -> None:
        for name, draw in reversed(entries):
            getattr(bpy.types, name).remove(draw)
        for cls in reversed(classes):
            bpy.utils.unregister_class(cls)

    return register, unregister
