"""A virtual screen on Linux by Xvfb, and pictures of it, with the standard library alone."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from pathlib import Path

FIELDS = 25
"""Count of 32-bit numbers in the header of a file of X's window dumps (X11/XWDFile.h)."""


class VirtualScreen:
    """A running Xvfb.

    Args:
        folder: Where it keeps its picture.
        size: Width and height in pixels.

    Attributes:
        display: Its name, for the variable DISPLAY.

    Raises:
        OSError: Xvfb is not on this machine or does not start.
    """

    def __init__(self, folder: Path, size: tuple):
        program = shutil.which("Xvfb")
        if program is None:
            raise OSError("Xvfb is not installed")
        command = [program, "-displayfd", "1", "-screen", "0", f"{size[0]}x{size[1]}x24", "-fbdir", str(folder)]
        command += ["+extension", "GLX", "-nolisten", "tcp"]
        self._file = folder / "Xvfb_screen0"
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        number = self._process.stdout.readline().strip().decode() if self._process.stdout else ""
        if not number:
            self.close()
            raise OSError("Xvfb does not start")
        self.display = f":{number}"

    def save(self, file: Path, box: tuple | None = None) -> None:
        """Write what the screen shows to a PNG file.

        Args:
            file: The file.
            box: Left, top, width and height of the part to write, in pixels from the top left; all of it if None.
        """
        width, height, colours = pixels(self._file.read_bytes())
        left, top, wide, high = box or (0, 0, width, height)
        rows = range(top, min(top + high, height))
        part = b"".join(colours[3 * (width * row + left) : 3 * (width * row + left + wide)] for row in rows)
        file.write_bytes(png(wide, len(rows), part))

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()


def pixels(dump: bytes) -> tuple:
    """Width, height and the RGB bytes, row by row, of a window dump with 32 bits for each pixel.

    Raises:
        ValueError: The dump is of another kind.
    """
    header = struct.unpack(f">{FIELDS}I", dump[: FIELDS * 4])
    start, width, height, order = header[0] + 12 * header[19], header[4], header[5], header[7]
    bits, stride = header[11], header[12]
    if bits != 32:
        raise ValueError(f"a screen of {bits} bits for each pixel")
    red, green, blue = (2, 1, 0) if order == 0 else (1, 2, 3)
    rows = []
    for row in range(height):
        line = dump[start + row * stride : start + row * stride + 4 * width]
        colours = bytearray(3 * width)
        colours[0::3], colours[1::3], colours[2::3] = line[red::4], line[green::4], line[blue::4]
        rows.append(bytes(colours))
    return width, height, b"".join(rows)


def png(width: int, height: int, colours: bytes) -> bytes:
    """A PNG file of RGB bytes, row by row."""
    rows = b"".join(b"\0" + colours[3 * width * row : 3 * width * (row + 1)] for row in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 6)) + chunk(b"IEND", b"")
