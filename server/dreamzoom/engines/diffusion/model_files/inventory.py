"""What lies in a model's folder: regular files and folders inside it, no code, nothing that would block a reader."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from core.errors import EngineUnavailable
from core.safety import limits
from core.safety.regular_files import is_link, kind_of
from dreamzoom.engines.diffusion.model_files.reading import AGAIN, shown

CODE = {".py", ".pyc", ".pyd", ".so", ".dll", ".dylib"}
MOST_BYTES = {
    ".json": limits.MODEL_CONFIG_BYTES,
    ".txt": limits.TOKENIZER_BYTES,
    ".model": limits.TOKENIZER_BYTES,
    ".jinja": limits.TEMPLATE_BYTES,
}
"""The largest size of a file, by its suffix; every file of these kinds may be read by the libraries."""
TOKENIZERS = {"tokenizer.json", "vocab.json"}
"""JSON files that may be as large as a vocabulary."""


def check_folder(folder: Path) -> None:
    """Look at every entry of a model's folder, without opening one.

    Links must lead to something in the model's own folder; in the Hugging Face cache that is the folder of all its
    revisions, where the links of a revision lead to the files.

    Raises:
        EngineUnavailable: There is no such folder, or something in it is refused; the message names it.
    """
    if not folder.is_dir():
        raise EngineUnavailable(f"no model folder {folder}", "name a folder, or one of those that `models` lists")
    root = root_of(folder).resolve()
    if root not in (folder.resolve(), *folder.resolve().parents):
        raise EngineUnavailable(f"{folder} is a link that leads out of {root}", "put the folder itself in its place")
    for path, found in _walk(folder):
        name = path.relative_to(folder)
        if is_link(found):
            found = _target(path, root, folder)
        if stat.S_ISDIR(found.st_mode):
            continue
        if not stat.S_ISREG(found.st_mode):
            raise EngineUnavailable(f"{folder}: {shown(name)} is {kind_of(found)}, not a file", "remove it")
        if path.suffix.lower() in CODE:
            raise EngineUnavailable(
                f"{folder} brings code of its own ({shown(name)}), which is not run here",
                "choose a model whose classes are in diffusers and transformers",
            )
        if path.name == "adapter_config.json":
            raise EngineUnavailable(
                f"{folder}: {shown(name)} makes it an adapter to another model",
                "choose a whole model; LoRAs are set as the engine's loras",
            )
        most = limits.TOKENIZER_BYTES if path.name in TOKENIZERS else MOST_BYTES.get(path.suffix.lower())
        if most is not None and found.st_size > most:
            raise EngineUnavailable(
                f"{folder}: {shown(name)} has {found.st_size:,} bytes; at most {most:,} are read", AGAIN
            )


def root_of(folder: Path) -> Path:
    """The folder that links of a model may not leave."""
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        return folder.parent.parent
    return folder


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every entry below a folder and what `os.lstat` finds; links are not followed."""
    count, waiting = 0, [folder]
    while waiting:
        place = waiting.pop()
        try:
            names = sorted(os.listdir(place))  # noqa: PTH208
        except OSError as error:
            raise EngineUnavailable(f"{place} can't be read: {error.strerror}", AGAIN) from None
        for name in names:
            count += 1
            if count > limits.MODEL_FILES:
                raise EngineUnavailable(
                    f"{folder} holds more than {limits.MODEL_FILES:,} files", "name the folder of one model"
                )
            path = place / name
            found = path.lstat()
            yield path, found
            if stat.S_ISDIR(found.st_mode) and not is_link(found):
                waiting.append(path)


def _target(path: Path, root: Path, folder: Path) -> os.stat_result:
    """What a link leads to."""
    name = shown(path.relative_to(folder))
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):  # nothing there, or links in a circle
        raise EngineUnavailable(f"{folder}: {name} is a link that leads nowhere", AGAIN) from None
    if root not in real.parents:
        raise EngineUnavailable(
            f"{folder}: {name} is a link that leads out of the model's folder", "put the file itself in its place"
        )
    return real.stat()
