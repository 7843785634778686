"""What kind of file a picture is, by its first bytes."""

from __future__ import annotations

from pathlib import Path

from core.errors import BadRequest

READABLE = "PNG, JPEG, WebP, TIFF, EXR, HDR, HEIC, AVIF, BMP, GIF"
"""The formats of pictures, for error messages."""

FIRST_BYTES = 64

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"v/1\x01", "EXR"),
    (b"#?", "HDR"),
    (b"\x93NUMPY", "NPY"),
    (b"PK\x03\x04", "NPZ"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
)

_OTHERS = (
    (b"%!PS", "a PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (b"%PDF", "a PDF file"),
    (b"8BPS", "a Photoshop file"),
    (b"gimp xcf", "a GIMP file"),
    (b"BLENDER", "a .blend file"),
    (b"(\xb5/\xfd", "a compressed file"),
    (b"\x1f\x8b", "a compressed file"),
    (b"\0\0\0\x0cjP", "a JPEG 2000 file"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 file"),
    (b"\xff\x0a", "a JPEG XL file"),
    (b"\0\0\0\x0cJXL", "a JPEG XL file"),
    (b"DDS ", "a DDS file"),
    (b"<svg", "an SVG file"),
    (b"<?xml", "an XML or SVG file"),
    (b"<!DOC", "a web page"),
    (b"<html", "a web page"),
    (b"glTF", "a GLB file"),
    (b"ply", "a PLY file"),
    (b"Rar!", "an archive"),
    (b"7z\xbc\xaf", "an archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"FUJIFILM", "a camera raw file; develop it to TIFF or JPEG first"),
)

_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}


def kind_of(path: Path, field: str, expected: str = READABLE) -> str:
    """The kind of a file: "PNG", "JPEG", "WEBP", "TIFF", "EXR", "HDR", "HEIC", "AVIF", "BMP", "GIF", "NPY" or "NPZ".

    Args:
        path: The file.
        field: Name of the request's field, for error messages.
        expected: The formats that the error message names.

    Raises:
        BadRequest: The file is missing, empty or of no known kind; the error says what it is instead.
    """
    if not path.is_file():
        raise BadRequest(field, f"must be the path of a file; there is none at {path}")
    try:
        with path.open("rb") as file:
            head = file.read(FIRST_BYTES)
    except OSError as error:
        raise BadRequest(field, f"{path.name} can't be read: {error.strerror or error}") from None
    if not head:
        raise BadRequest(field, f"{path.name} is empty")
    found = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None) or _in_container(head)
    if found:
        return found
    what = next((text for magic, text in _OTHERS if head.startswith(magic)), "")
    raise BadRequest(field, f"{path.name} must be a {expected} file" + (f"; it is {what}" if what else ""))


def _in_container(head: bytes) -> str | None:
    """The kind of a file whose format stands inside a container (RIFF, ISO base media)."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] != b"ftyp":
        return None
    brands = {head[8:12]} | {head[start : start + 4] for start in range(16, min(len(head), _box_end(head)) - 3, 4)}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & (_HEIF_BRANDS | {b"mif1", b"msf1"}) else None


def _box_end(head: bytes) -> int:
    return int.from_bytes(head[:4], "big")
