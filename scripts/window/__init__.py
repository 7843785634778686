"""A real Blender window that is driven through the add-on as an artist would, with a screenshot of every state.

- `launch`: finds Blender and a screen, and runs a tour in a window of its own. No Blender is needed to import it.
- `driver`: runs inside Blender: one step after the other, each seen by Blender's event loop.
- `tour`: the steps: install, first flight, a changed prompt, import, render.
"""
