"""Files of splats whose headers, orders and types vary: read alike, or refused in one line; never another scene."""

from __future__ import annotations

import pathlib
import random
import traceback
from collections import Counter

from hypothesis import HealthCheck, Phase, given, seed, settings

SHORT = 40
ROUNDS = 2000


def run(rng: random.Random, rounds: int | None, folder: pathlib.Path) -> tuple[bool, str]:
    """Write and read variants of PLY files, a third of which lie in their headers.

    Passed if each truthful one gives the splats and axes that were written, and each other one an error, a note in the
    report, or what an independent reader finds.
    """
    from tortures.attacks import ply_variants

    counts: Counter[str] = Counter()

    @seed(rng.getrandbits(32))
    @settings(
        max_examples=rounds or ROUNDS,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(ply_variants.variants())
    def each(variant: ply_variants.Variant) -> None:
        counts[ply_variants.check(variant, folder) + (" of liars" if variant.lie else "")] += 1

    try:
        each()
    except AssertionError as error:
        traceback.print_exception(error)
        return False, f"variants of files of splats: {str(error)[:300]}"
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return True, f"{sum(counts.values())} variants of files of splats: {told}; none read as another scene"
