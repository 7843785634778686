"""The artist's own inputs of a level: a picture, a depth map, and objects in the scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.camera import Camera
from dreamzoom.progress import Report
from dreamzoom.request import images
from dreamzoom.request.inputs import Input, asset_fields, scene_field
from dreamzoom.stages import plan
from dreamzoom.stages.assets import AssetFiles, PlacedFile, in_reach
from dreamzoom.stages.base.context import Context
from dreamzoom.stages.own.scene import SceneFile, first_level_scene


@dataclass(frozen=True)
class GivenFile:
    """A picture or depth map of a level.

    Attributes:
        file: The file.
        field: The request's field that names it, for error messages.
        size: Width and height of the camera that the picture fills, in pixels.
        within: Width and height of the anchor view, which is wider.
    """

    file: Input
    field: str
    size: tuple[int, int]
    within: tuple[int, int]

    def picture(self, report: Report) -> np.ndarray:
        """Read the picture: (h, w, 3) float32 sRGB at the camera's scale, cropped to the anchor view."""
        return images.read_picture(self.file.path, self.size, report.log, within=self.within, field=self.field)

    def depth(self, report: Report) -> np.ndarray:
        """Read the depth map: (h, w) float32 at the camera's scale, cropped to the anchor view; any unit, NaN where
        unknown.
        """
        return images.read_depth(self.file.path, self.size, report.log, within=self.within, field=self.field)


@dataclass(frozen=True)
class GivenPixels:
    """The pixels of a level's picture that the artist gives.

    Attributes:
        picture: The artist's own picture, if there is one.
        assets: The artist's own objects that may be visible in it.
        camera: The camera of the anchor view.
        scene: The artist's own scene of splats, if it is the level; then there is no picture.
    """

    picture: GivenFile | None
    assets: AssetFiles
    camera: Camera
    scene: SceneFile | None = None

    def pixels(self, report: Report) -> np.ndarray | None:
        """The picture (h, w, 3), centred in the anchor view, with the objects composited over it. NaN where there is
        neither; None if there is nothing at all.
        """
        own = self._own(report)
        objects = self.assets.load().photo(self.camera)
        if objects is None:
            return own
        around = np.nan if own is None else centred(own, objects.shape[:2])
        return np.where(np.isfinite(objects), objects, around).astype(np.float32)

    def mask(self) -> np.ndarray | None:
        """The given pixels of the anchor view, (H, W) bool; None if there are none."""
        return self._mask(self.pixels(Report()))

    def photo_mask(self) -> np.ndarray | None:
        """The pixels of the anchor view that the picture or the scene gives, without objects, (H, W) bool; None if
        there is neither.
        """
        return self._mask(self._own(Report()))

    def _own(self, report: Report) -> np.ndarray | None:
        if self.scene is not None:
            return self.scene.photo(self.camera)
        return self.picture and self.picture.picture(report)

    def _mask(self, pixels: np.ndarray | None) -> np.ndarray | None:
        if pixels is None:
            return None
        return np.isfinite(centred(pixels, (self.camera.height, self.camera.width))[..., 0])


def given_pixels(context: Context, level: int) -> GivenPixels:
    """The given pixels of a level's picture."""
    camera = plan.anchor(context.path, level, context.quality).camera
    scene = first_level_scene(context, level)
    return GivenPixels(given_picture(context, level), asset_files(context, level), camera, scene)


def given_picture(context: Context, level: int) -> GivenFile | None:
    """A level's own picture, if there is one."""
    return _file(context, level, "image")


def given_depth(context: Context, level: int) -> GivenFile | None:
    """The depth map of a level's own picture, if there is one."""
    return _file(context, level, "depth")


def asset_files(context: Context, level: int) -> AssetFiles:
    """The artist's own objects that are visible from a level's cameras."""
    placed = [
        PlacedFile(context.inputs[field], context.path.between(other, level))
        for other in in_reach(level, range(context.path.levels))
        for field in asset_fields(context.request, other)
    ]
    return AssetFiles(tuple(placed), context.engine.name)


def is_given(context: Context, level: int) -> bool:
    """Whether the artist gives a picture of a level, a scene, or objects that may be visible in it."""
    given = {f"levels[{level}].image", scene_field(level)}
    return bool(given & context.inputs.keys()) or bool(asset_files(context, level).placed)


def _file(context: Context, level: int, kind: str) -> GivenFile | None:
    field = f"levels[{level}].{kind}"
    if field not in context.inputs:
        return None
    camera = plan.anchor(context.path, level, context.quality).camera
    size = context.request.width, context.request.height
    return GivenFile(context.inputs[field], field, size, (camera.width, camera.height))


def centred(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Place values (h, w, ...) in the middle of a larger array (H, W, ...) float32, with NaN around them."""
    wide = np.full((*shape, *values.shape[2:]), np.nan, np.float32)
    top, left = (shape[0] - values.shape[0]) // 2, (shape[1] - values.shape[1]) // 2
    wide[top : top + values.shape[0], left : left + values.shape[1]] = values
    return wide
