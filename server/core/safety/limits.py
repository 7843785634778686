"""Limits on data that others may have made. `docs/security.md` has the same table, and says what enforces each.

A limit is well above what the project itself writes and what artists have, and low enough that no file within it takes
all memory. Sizes are in bytes.
"""

from __future__ import annotations

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

JSON_DEPTH = 64
"""Lists and objects within each other, in any JSON."""
JSON_VALUES = 4_000_000
"""Values of any kind in one JSON document: 100 000 cameras have 3 million."""

REQUEST_BYTES = 64 * MIB
"""A request (request.json, or the body of a message)."""
RESULT_BYTES = 96 * MIB
"""result.json, which repeats the request's cameras."""
RECORD_BYTES = 4 * MIB
"""A step's record (stages/*.json), the index of copied inputs, level.json and plan.json."""
JOURNAL_BYTES = 256 * MIB
"""A job's journal."""
JOURNAL_LINE_BYTES = 64 * KIB
"""One line of a journal; longer ones are skipped."""
JOB_FILES = 100_000
"""Files that a job folder is searched for."""

MODEL_CONFIG_BYTES = 32 * MIB
"""A model's config.json, model_index.json, index of weights and the like."""
SAFETENSORS_HEADER_BYTES = 100_000_000
"""The header of a safetensors file; the format itself demands this limit."""
SAFETENSORS_TENSORS = 1_000_000
"""Tensors that such a header declares."""

PICTURE_BYTES = 2 * GIB
"""A picture or depth map of any format."""
PICTURE_PIXELS = 200_000_000
"""Width times height of a picture or depth map, as its header claims."""
PICTURE_SIDE = 65_535
"""Width or height of a picture."""
PICTURE_FLOAT_PIXELS = 64_000_000
"""Width times height of a depth map or of a picture in floating point, which are held unpacked."""
PICTURE_BOMB_PIXELS = 16_000_000
"""Pictures of at most this many pixels may be packed as well as they can."""
PICTURE_BOMB_RATIO = 200
"""How many times larger than its file a picture of more pixels may unpack: photographs reach 50, a flat one 1000."""
PICTURE_CHANNELS = 1024
"""Channels in all parts of an EXR file. Only those of one layer are read."""
PICTURE_PARTS = 256
"""Parts of an EXR file."""
PICTURE_HEADER_BYTES = 4 * MIB
"""The header of an EXR, HDR or TIFF file."""
PICTURE_SCANS = 100
"""Scans of a progressive JPEG, each a pass over all pixels; encoders write about ten."""
PROFILE_BYTES = 16 * MIB
"""A picture's colour profile."""

ARRAY_BYTES = 4 * GIB
"""One array of an npy or npz file, unpacked."""
ARRAY_COUNT = 20_000
"""Arrays in an npz file."""
ARRAY_DIMENSIONS = 8
"""Dimensions of an array in an npy or npz file."""

SPLAT_FILE_BYTES = 16 * GIB
"""A file of splats or points."""
SPLAT_ROWS = 100_000_000
"""Splats or points in one file, as its header claims."""
SPLAT_HEADER_BYTES = 1 * MIB
"""The header of a PLY, or the metadata of a SOG file."""
SPLAT_COLUMNS = 1000
"""Columns of one table of a PLY."""
SPLAT_UNPACKED_BYTES = 16 * GIB
"""What a compressed file of splats (SPZ, SOG) unpacks to."""
SPLAT_UNPACKED_RATIO = 1100
"""How many times larger than itself a compressed file may unpack: deflate reaches 1032."""
GLB_JSON_BYTES = 64 * MIB
"""The JSON chunk of a GLB file."""
ZIP_ENTRIES = 1000
"""Files in a zip archive of splats (SOG)."""

NAME_CHARACTERS = 1024
"""Characters of a file name relative to its folder, as foreign data give it."""
