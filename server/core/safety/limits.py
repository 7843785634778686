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
JSON_WORDS_BYTES = 16 * MIB
"""Keys and texts of one JSON document; all else in it are numbers."""
JSON_TEXT_BYTES = 256 * MIB
"""What one JSON document takes in memory before it is decoded: for each character 1 byte, 2 where there are some
beyond Latin-1, 4 where there are some beyond 16 bits."""

REQUEST_BYTES = 64 * MIB
"""A request (request.json, or the body of a message)."""
RESULT_BYTES = 96 * MIB
"""result.json, which repeats the request's cameras."""
RESULT_NOTES = 256
"""Notes about the artist's files in result.json."""
NOTE_CHARACTERS = 400
"""Characters of such a note."""
RECORD_BYTES = 4 * MIB
"""A step's record (stages/*.json), the index of copied inputs, level.json and plan.json."""
MESSAGE_BYTES = REQUEST_BYTES + 1 * MIB
"""A message to the server: a request, and what is around it."""
ANSWER_BYTES = 4 * MIB
"""A message of the server to the add-on."""
CHUNK_BYTES = 1 * MIB
"""A part of a file in a message, packed or not."""
TRANSFER_FILES = 10_000
"""Files that a server on another machine offers of one job, or that a request sends to it."""
TRANSFER_PARAMETER_BYTES = 4 * MIB
"""The list of the files that a request sends."""
PARAMETER_BYTES = 64 * KIB
"""A parameter of a message other than the request of a job."""
JOURNAL_BYTES = 64 * MIB
"""A job's journal. It is shortened from time to time."""
JOURNAL_LINES = 50_000
"""Lines of a journal; only the last are read of more."""
JOURNAL_STEPS = 10_000
"""Different steps that a journal tells of; lines of more count as damaged."""
JOURNAL_LINE_BYTES = 64 * KIB
"""One line of a journal; longer ones are skipped."""
JOB_FILES = 100_000
"""Files that a job folder is searched for."""

MODEL_CONFIG_BYTES = 32 * MIB
"""A model's config.json, model_index.json, index of weights and the like."""
MODEL_CONFIG_VALUES = 100_000
"""Values in such a file."""
MODEL_VALUES = 1_200_000
"""Values in an index of weights, or in the header of a safetensors file."""
MODEL_FILES = 2000
"""Files in a model's folder."""
TOKENIZER_BYTES = 64 * MIB
"""A tokenizer's vocabulary."""
TEMPLATE_BYTES = 1 * MIB
"""A chat template."""
SAFETENSORS_HEADER_BYTES = 32 * MIB
"""The header of a safetensors file; the format allows 100 MB, the largest models have 2 MB."""
SAFETENSORS_TENSORS = 100_000
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
SHOWN_PIXELS = 4096 * 4096
"""Width times height of a job's picture that Blender shows: no level has more."""
STACK_PIXELS = 64_000_000
"""Width times height of a picture of a zoom stack that Blender loads."""
PICTURE_SCANS = 100
"""Scans of a progressive JPEG, each a pass over all pixels; encoders write about ten."""
PROFILE_BYTES = 16 * MIB
"""A picture's colour profile."""

ARRAY_BYTES = 4 * GIB
"""One array of an npy or npz file, unpacked."""
ARRAYS_BYTES = 512 * MIB
"""All arrays of an npz file, unpacked, or `ARRAYS_RATIO` times the file's size if that is more."""
ARRAYS_RATIO = 100
"""How many times larger than itself a large npz file may unpack."""
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
SPLAT_UNPACKED_FREE = 64 * MIB
"""What any packed file of splats may unpack to, however small it is."""
SPLAT_UNPACKED_RATIO = 30
"""A packed file of splats may unpack to SPLAT_UNPACKED_FREE bytes and so many times its size; real ones reach 20."""
SPLAT_LIST_ROWS = 500_000
"""Rows of a PLY whose lists differ in length, which are read one by one."""
SPLAT_EXTENSION_BYTES = 1 * MIB
"""The extensions of an SPZ file."""
GLB_JSON_BYTES = 16 * MIB
"""The JSON chunk of a GLB file."""
GLB_JSON_VALUES = 500_000
"""Values in it."""
GLB_INSTANCED_RATIO = 8
"""A GLB may show SPLAT_UNPACKED_FREE bytes of splats and so many times its size: a mesh may be in several places."""
GLB_BUFFERS = 64
"""Files beside a .gltf that hold its data."""
GLB_NODES = 10_000
"""Nodes of a GLB file that show splats."""
SOG_PIXELS_FREE = 4 << 20
"""Pixels that the pictures of any SOG file may have, however small it is."""
SOG_PIXELS_PER_BYTE = 8
"""The pictures of a SOG file may have SOG_PIXELS_FREE pixels and so many for each of its bytes; real ones have 1."""
ZIP_ENTRIES = 1000
"""Files in a zip archive of splats (SOG)."""

JOB_NAME_CHARACTERS = 80
"""Characters of the name by which a client on another machine knows a job's folder."""
NAME_CHARACTERS = 1024
"""Characters of a file name relative to its folder, as foreign data give it."""
