"""The graph of steps: what a job consists of, and the digest of all that each step depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dreamzoom.pipeline.folder import Folder
from dreamzoom.report import Report


@dataclass(frozen=True)
class Step:
    """One piece of work: it reads files of the job folder and writes others.

    Attributes:
        name: Unique in the job and readable, "levels/002/image".
        stage: Which stage it belongs to, for progress: "dream".
        level: Which level, or None for the whole job.
        version: Of the step's code; raise it when the code's results change.
        parameters: JSON values: the part of the request and the engine's identity that it depends on.
        needs: Names of the steps whose files it reads. They stand before it in the list.
        outputs: The files it must have written, relative to the job folder.
        run: The work. It tells its progress to the report and notices a cancel there.
        weight: Its expected share of the job's time, in any unit common to all steps.
    """

    name: str
    stage: str
    level: int | None
    version: int
    parameters: dict[str, Any]
    needs: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Callable[[Folder, Report], None] = field(repr=False, compare=False)
    weight: float = 1.0


def digests(steps: Sequence[Step]) -> dict[str, str]:
    """SHA-256 (hex) of everything each step depends on, by name.

    Raises:
        ValueError: A name or an output occurs twice, or a step needs one that is not listed before it (so there are no
            cycles either), or parameters are not JSON.
    """
    found: dict[str, str] = {}
    writers: dict[str, str] = {}
    for step in steps:
        if step.name in found:
            raise ValueError(f"two steps are named {step.name!r}")
        for output in step.outputs:
            if output in writers:
                raise ValueError(f"{step.name!r} and {writers[output]!r} both write {output!r}")
            writers[output] = step.name
        for need in step.needs:
            if need not in found:
                raise ValueError(f"{step.name!r} needs {need!r}, which is not listed before it")
        found[step.name] = digest_of([step.name, step.version, step.parameters, [found[n] for n in step.needs]])
    return found


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON value in canonical form. Raises ValueError for NaN, TypeError for what is not JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
