"""What the licences of models allow, as far as their names say it."""

from __future__ import annotations

RESTRICTED = ("-nc-", "-nc", "noncommercial", "non-commercial", "research", "amlr", "academic")
"""Parts of the names of licences that exclude commercial use; `apple-amlr` is Apple's for research."""


def is_non_commercial(licence: str) -> bool:
    """Whether a licence, as a model's card names it, excludes commercial use. What is not known is not excluded."""
    name = licence.lower().replace("_", "-").replace(" ", "-")
    return any(part in name if part != "-nc" else name.endswith(part) for part in RESTRICTED)
