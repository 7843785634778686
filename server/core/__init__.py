"""What the server and the add-on must agree on; both run this one copy.

Imports numpy and the standard library only, with relative imports inside, so that Blender's Python runs it too: the
server imports it as `core`, the add-on as its own `.core`.

`camera`, `level_frames`, `fading`, `reach`: cameras, the levels' frames, when and where levels are seen.
`gaussians`, `spherical_harmonics`, `quaternions`, `colour`, `arrays`: splats as arrays.
`formats`: files of splats and points. `protocol`: messages between the two processes, result.json.
`errors`, `atomic_files`: what a failure tells people, and files that are never half written.
"""
