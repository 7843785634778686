"""The stages, one file each. Each declares what it reads and writes; the pipeline creates the steps from that.

    plan → zoom → per level: dream → align → (surround, agree or refine) → fit → export → result

How to add a stage, for example one between align and the fit that removes isolated points: write `stages/tidy.py`,

    def _parameters(context: Context, scope: Scope) -> dict[str, Any]:
        return {"radius": 0.1}  # covered by the digest

    def _run(inputs: Inputs, parameters: dict[str, Any], report: Report) -> Outputs:
        return {"points": without_isolated(inputs["points"], parameters["radius"])}

    TIDY = Stage(
        name="tidy", version=1,
        reads={"points": own(layout.POINTS)},
        writes={"points": layout.POINTS.version("tidy")},
        parameters=_parameters, run=_run, shown_as="align",
    )

and put `tidy.TIDY` behind `align.ALIGN` below, and `tidy` into the import there. Each later stage that reads
`layout.POINTS` now gets the tidied points, and `dreamzoom run-step JOB levels/000/tidy` runs it alone. (The finer
levels are dreamed over what align wrote: a stage sees what stands before it in the list, and of coarser levels the
first version that there is.) New kinds of files are added to `stages/base/layout.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dreamzoom.stages.base.stage import Stage


def all_stages() -> tuple[Stage[Any], ...]:
    """All stages, in the order in which a level passes through them."""
    from dreamzoom.stages import agree, align, dream, export, plan, refine, splat, zoom

    return (
        plan.PLAN,
        zoom.SAMPLE_JOINTLY,
        zoom.PAINT,
        zoom.PAINT_TO_PASTE,
        zoom.KEEP_PICTURE,
        dream.DREAM,
        align.ALIGN,
        agree.SURROUND,
        agree.AGREE,
        refine.REFINE,
        splat.SPLAT,
        export.EXPORT,
        export.RESULT,
    )
