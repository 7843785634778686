"""Code shared by the server and the add-on.

Imports only numpy and the standard library, with relative imports inside, so that it also runs in Blender's Python. The
server imports it as `core`, the add-on as `.core`.

- `camera`, `level_frames`, `fading`, `reach`: cameras, the levels' frames, the levels' opacities and dependencies.
- `gaussians`, `spherical_harmonics`, `quaternions`, `colour`, `arrays`: splats as arrays.
- `formats`: files of splats and points.
- `protocol`: messages between the two processes, result.json.
- `errors`, `atomic_files`: errors shown to users, and atomic writing of files.
"""
