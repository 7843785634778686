"""Formats of pictures and depth maps as people have them: what is unknown stays unknown, the right layer is taken, and
what was guessed or changed is said in one line.
"""

import struct
import zlib

import numpy as np
import OpenEXR
import pytest
from PIL import Image, ImageCms, features

from core.colour import linear_to_srgb
from core.errors import BadRequest
from dreamzoom.request import images
from dreamzoom.request.pictures import float_tiff, tiff_tags

WIDTH, HEIGHT = 12, 8


def read(path, size=(WIDTH, HEIGHT), **options):
    """The picture, and what was said."""
    said = []
    return images.read_picture(path, size, said.append, **options), said


def depth_of(path):
    said = []
    return images.read_depth(path, None, said.append), said


def ramp(channels=3):
    """Linear light that grows to the right; each channel is another."""
    light = np.zeros((HEIGHT, WIDTH, channels), np.float32)
    for c in range(channels):
        light[..., c] = np.linspace(0.1, 0.2 + 0.2 * c, WIDTH)
    return light


def write_exr(path, channels, compression=OpenEXR.ZIP_COMPRESSION, **more):
    channels = {name: np.ascontiguousarray(values) for name, values in channels.items()}
    OpenEXR.File({"compression": compression, "type": OpenEXR.scanlineimage} | more, channels).write(str(path))
    return path


class TestUnknown:
    """Transparency and values that are no numbers."""

    @pytest.mark.parametrize("kind", ["RGBA", "LA", "palette", "tRNS", "webp", "gif"])
    def test_transparent_pixels_are_unknown_in_every_format(self, tmp_path, kind):
        alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
        alpha[2:5, 3:7] = 0
        rgba = np.dstack([np.full((HEIGHT, WIDTH, 3), 128, np.uint8), alpha])
        path = tmp_path / "a.png"
        if kind == "LA":
            Image.fromarray(rgba).convert("LA").save(path)
        elif kind in ("palette", "gif"):
            index = Image.fromarray(np.where(alpha == 0, 1, 0).astype(np.uint8), "P")
            index.putpalette([128, 128, 128, 0, 255, 0])
            path = path.with_suffix(".gif") if kind == "gif" else path
            index.save(path, transparency=1)
        elif kind == "tRNS":
            rgb = rgba[..., :3].copy()
            rgb[alpha == 0] = (0, 255, 0)
            Image.fromarray(rgb).save(path, transparency=(0, 255, 0))
        else:
            path = path.with_suffix(".webp") if kind == "webp" else path
            Image.fromarray(rgba).save(path, lossless=True)
        got, said = read(path)
        assert (np.isnan(got).any(-1) == (alpha == 0)).all()
        assert np.abs(got[0, 0] - 128 / 255).max() < 0.01
        assert "transparent" in said[0]

    def test_a_soft_border_keeps_its_own_colour(self, tmp_path):
        rgba = np.full((HEIGHT, WIDTH, 4), (200, 100, 50, 255), np.uint8)
        rgba[:, 6:, 3] = (190, 150, 100, 60, 20, 0)
        Image.fromarray(rgba).save(tmp_path / "a.png")
        got, _ = read(tmp_path / "a.png")
        assert np.allclose(got[:, :8] * 255, (200, 100, 50), atol=0.01), "nothing darkens towards black"
        assert np.isnan(got[:, 8:]).all()

    def test_scaling_does_not_mix_in_what_is_unknown(self, tmp_path):
        rgba = np.full((80, 120, 4), (200, 100, 50, 255), np.uint8)
        rgba[20:60, 40:80] = (0, 255, 0, 0)
        Image.fromarray(rgba).save(tmp_path / "a.png")
        got, _ = read(tmp_path / "a.png")
        assert np.isnan(got[3:5, 5:7]).all()
        known = got[~np.isnan(got).any(-1)]
        assert np.abs(known * 255 - (200, 100, 50)).max() < 0.5

    def test_a_picture_without_an_opaque_pixel_is_refused(self, tmp_path):
        Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(tmp_path / "a.png")
        with pytest.raises(BadRequest, match=r"a\.png is transparent everywhere"):
            read(tmp_path / "a.png")

    def test_premultiplied_colours_of_an_exr_are_divided_and_its_holes_unknown(self, tmp_path):
        alpha = np.ones((HEIGHT, WIDTH), np.float32)
        alpha[:4], alpha[6:] = 0.75, 0
        light = np.full((HEIGHT, WIDTH, 3), 0.5, np.float32) * alpha[..., None]
        got, _ = read(write_exr(tmp_path / "a.exr", {"RGBA": np.dstack([light, alpha])}))
        assert np.allclose(got[:6], linear_to_srgb(np.array(0.5)), atol=1e-3)
        assert np.isnan(got[6:]).all()

    def test_an_alpha_that_nobody_wrote_is_ignored_and_it_is_said(self, tmp_path):
        rgba = np.dstack([ramp(), np.zeros((HEIGHT, WIDTH), np.float32)])
        got, said = read(write_exr(tmp_path / "a.exr", {"RGBA": rgba}))
        assert np.isfinite(got).all()
        assert "alpha is 0 everywhere" in said[0]

    def test_what_is_no_number_is_unknown_and_infinite_light_is_white(self, tmp_path):
        light = ramp()
        light[0, 0], light[1, 1] = np.nan, np.inf
        got, _ = read(write_exr(tmp_path / "a.exr", {"RGB": light}))
        assert np.isnan(got[0, 0]).all()
        assert (got[1, 1] > 0.99).all()
        assert np.isfinite(got[2:]).all()

    @pytest.mark.parametrize("nothing", [1e10, np.inf, 65504.0, 1e30, np.nan, 0.0, -1.0])
    def test_depth_where_nothing_was_hit_is_unknown(self, tmp_path, nothing):
        depth = np.linspace(2, 40, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
        depth[:2] = nothing
        got, said = depth_of(write_exr(tmp_path / "a.exr", {"Z": depth}))
        assert np.isnan(got[:2]).all()
        assert np.allclose(got[2:], depth[2:])
        assert "unknown" in said[-1]

    def test_a_far_wall_stays(self, tmp_path):
        depth = np.full((HEIGHT, WIDTH), 90, np.float32)
        depth[3:6, 3:6] = 1.5
        got, _ = depth_of(write_exr(tmp_path / "a.exr", {"Z": depth}))
        assert np.isfinite(got).all()


class TestLayers:
    """The layer that is meant is found by its name."""

    @pytest.mark.parametrize(
        ("wanted", "others"),
        [
            ("ViewLayer.Combined", ["ViewLayer.AO", "ViewLayer.DiffCol", "Background.Denoising Albedo"]),
            ("Composite.Combined", ["ViewLayer.Combined", "ViewLayer.AO"]),
            ("ViewLayer.Combined.left", ["ViewLayer.AO.left", "ViewLayer.AO.right"]),
            ("", ["albedo", "Beauty", "diffuse_direct"]),
            ("Beauty", ["Ambient Occlusion", "CryptoMaterial00", "Z"]),
            ("rgba", ["N", "P", "direct_diffuse"]),
            ("FinalImage", ["ActorHitProxyMask00", "WorldNormal"]),
            ("Sky", ["AO", "Normal", "Shadow"]),
        ],
    )
    def test_the_picture(self, tmp_path, wanted, others):
        dot = f"{wanted}." if wanted else ""
        channels = {f"{dot}{c}": ramp()[..., n] for n, c in enumerate("RGB")}
        channels |= {f"{name}.{c}": np.ones((HEIGHT, WIDTH), np.float32) for name in others for c in "RGB"}
        got, said = read(write_exr(tmp_path / "a.exr", channels))
        assert np.allclose(got, linear_to_srgb(ramp()), atol=1e-3)
        assert len(said) == 1
        assert wanted in said[0]
        assert others[0] in said[0]

    @pytest.mark.parametrize(
        "wanted",
        ["ViewLayer.Depth.Z", "ViewLayer.Depth.V", "Z", "depth.R", "VRayZDepth.R", "Pz.Y", "ViewLayer.Depth.left.Z"],
    )
    def test_the_depth_and_never_a_normal(self, tmp_path, wanted):
        depth = 2 + ramp()[..., 0]
        names = ["ViewLayer.Normal.X", "ViewLayer.Normal.Y", "ViewLayer.Normal.Z", "ViewLayer.Combined.R"]
        names += ["ViewLayer.Combined.G", "ViewLayer.Combined.B", "ViewLayer.AO.R", "ViewLayer.Mist.Z"]
        channels = {name: np.full((HEIGHT, WIDTH), 0.5, np.float32) for name in names}
        got, said = depth_of(write_exr(tmp_path / "a.exr", channels | {wanted: depth}))
        assert np.allclose(got, depth)
        assert wanted.rpartition(".")[0] in said[0]

    def test_passes_alone_are_no_depth(self, tmp_path):
        channels = {f"ViewLayer.Normal.{c}": ramp()[..., n] for n, c in enumerate("XYZ")}
        channels["ViewLayer.Mist.Z"] = ramp()[..., 0]
        with pytest.raises(BadRequest, match=r"a layer Depth; it has ViewLayer\.Mist\.Z"):
            depth_of(write_exr(tmp_path / "a.exr", channels))

    def test_parts(self, tmp_path):
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        white = np.ones((HEIGHT, WIDTH, 3), np.float32)
        parts = [
            OpenEXR.Part(header | {"name": "ViewLayer.AO"}, {"RGB": white}),
            OpenEXR.Part(header | {"name": "ViewLayer.Combined"}, {"RGB": ramp()}),
            OpenEXR.Part(header | {"name": "ViewLayer.Depth"}, {"Z": np.ascontiguousarray(2 + ramp()[..., 0])}),
        ]
        OpenEXR.File(parts).write(str(tmp_path / "a.exr"))
        got, said = read(tmp_path / "a.exr")
        assert np.allclose(got, linear_to_srgb(ramp()), atol=1e-3)
        assert "ViewLayer.Combined" in said[0]
        assert np.allclose(depth_of(tmp_path / "a.exr")[0], 2 + ramp()[..., 0])


class TestExr:
    """Kinds of channels, windows and compression."""

    @pytest.mark.parametrize("kind", [np.float16, np.float32, np.uint32])
    def test_types_of_channels(self, tmp_path, kind):
        depth = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) + 1).astype(kind)
        got, _ = depth_of(write_exr(tmp_path / "a.exr", {"Z": depth}))
        assert np.array_equal(got, depth.astype(np.float32))

    @pytest.mark.parametrize("name", ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB"])
    def test_compressions(self, tmp_path, name):
        compression = getattr(OpenEXR, f"{name}_COMPRESSION")
        light = np.repeat(np.repeat(ramp().astype(np.float16), 8, 0), 8, 1)
        got, _ = read(write_exr(tmp_path / "a.exr", {"RGB": light}, compression), (8 * WIDTH, 8 * HEIGHT))
        assert np.abs(got - linear_to_srgb(light.astype(np.float32))).max() < 0.02

    def test_tiles(self, tmp_path):
        header = {"type": OpenEXR.tiledimage, "tiles": OpenEXR.TileDescription()}
        light = np.repeat(np.repeat(ramp(), 12, 0), 12, 1)
        header["tiles"].xSize = header["tiles"].ySize = 32
        OpenEXR.File(header | {"compression": OpenEXR.ZIP_COMPRESSION}, {"RGB": light}).write(str(tmp_path / "a.exr"))
        got, _ = read(tmp_path / "a.exr", (12 * WIDTH, 12 * HEIGHT))
        assert np.allclose(got, linear_to_srgb(light), atol=1e-3)

    def test_a_data_window_lies_in_its_display_window(self, tmp_path):
        window = {
            "dataWindow": (np.array([2, 1], np.int32), np.array([1 + WIDTH, HEIGHT], np.int32)),
            "displayWindow": (np.array([0, 0], np.int32), np.array([15, 9], np.int32)),
        }
        got, said = read(write_exr(tmp_path / "a.exr", {"RGB": ramp()}, **window), (16, 10))
        assert got.shape == (10, 16, 3)
        assert np.allclose(got[1:9, 2:14], linear_to_srgb(ramp()), atol=1e-3)
        assert np.isnan(got[0]).all()
        assert "data window of 12×8" in said[0]

    def test_overscan_is_cut_to_the_display_window(self, tmp_path):
        window = {"displayWindow": (np.array([2, 1], np.int32), np.array([9, 6], np.int32))}
        got, _ = read(write_exr(tmp_path / "a.exr", {"RGB": ramp()}, **window), (8, 6))
        assert np.allclose(got, linear_to_srgb(ramp()[1:7, 2:10]), atol=1e-3)

    def test_grey(self, tmp_path):
        got, _ = read(write_exr(tmp_path / "a.exr", {"Y": ramp()[..., 0]}))
        assert np.allclose(got, linear_to_srgb(ramp()[..., :1]), atol=1e-3)


class TestBrightness:
    """Pictures brighter than 1 are mapped, and it is said how."""

    def test_dark_values_stay_and_highlights_keep_their_order_and_hue(self, tmp_path):
        light = np.full((HEIGHT, WIDTH, 3), 0.3, np.float32)
        light[0, :4] = [(0.9, 0.45, 0), (2, 1, 0), (8, 4, 0), (30, 15, 0)]
        got, said = read(write_exr(tmp_path / "a.exr", {"RGB": light}))
        assert np.allclose(got[1:], linear_to_srgb(np.array(0.3)), atol=1e-3)
        assert (np.diff(got[0, :4, 0]) > 0).all()
        assert got.max() <= 1
        linear = ((got[0, :4] + 0.055) / 1.055) ** 2.4
        assert np.allclose(linear[:, 1] / linear[:, 0], 0.5, atol=0.01)
        assert "values up to 30" in said[0]
        assert "compressed" in said[0]

    def test_a_picture_that_is_too_bright_as_a_whole_is_darkened(self, tmp_path):
        light = 40 * ramp()
        got, said = read(write_exr(tmp_path / "a.exr", {"RGB": light}))
        assert 0.5 < np.median(got) < 0.9
        assert "multiplied by" in said[0]

    def test_what_is_not_brighter_is_not_changed(self, tmp_path):
        light = ramp() / ramp().max()
        got, said = read(write_exr(tmp_path / "a.exr", {"RGB": light}))
        assert np.allclose(got, linear_to_srgb(light), atol=1e-4)
        assert said == []


def radiance(light, size="-Y {h} +X {w}", runs=True, head=b""):
    """A Radiance file of linear light."""
    most = np.maximum(light.max(-1), 1e-9)
    mantissa, exponent = np.frexp(most)
    rgbe = np.concatenate([light * (mantissa * 256 / most)[..., None], exponent[..., None] + 128.0], -1)
    rgbe = rgbe.astype(np.uint8)
    height, width = light.shape[:2]
    data = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n" + head + b"\n" + size.format(h=height, w=width).encode() + b"\n"
    for line in rgbe:
        if runs:
            data += b"\x02\x02" + struct.pack(">H", width)
            data += b"".join(bytes([width]) + line[:, c].tobytes() for c in range(4))
        else:
            data += line.tobytes()
    return data


class TestRadiance:
    @pytest.mark.parametrize("runs", [True, False])
    def test_both_encodings(self, tmp_path, runs):
        (tmp_path / "a.hdr").write_bytes(radiance(ramp(), runs=runs))
        got, _ = read(tmp_path / "a.hdr")
        assert np.abs(got - linear_to_srgb(ramp())).max() < 0.01

    def test_runs_of_equal_pixels_and_of_the_old_kind(self, tmp_path):
        line = bytes([2, 2, 0, 12]) + b"".join(bytes([128 + 12, value]) for value in (128, 64, 32, 128))
        old = bytes([128, 64, 32, 128, 1, 1, 1, 11])
        (tmp_path / "a.hdr").write_bytes(b"#?RGBE\n\n-Y 8 +X 12\n" + line * 4 + old * 4)
        got, _ = read(tmp_path / "a.hdr")
        assert np.allclose(got, linear_to_srgb(np.array([0.5, 0.25, 0.125], np.float32)), atol=1e-4)

    @pytest.mark.parametrize(("size", "turn"), [("+Y {h} +X {w}", np.flipud), ("-Y {h} -X {w}", np.fliplr)])
    def test_orientations(self, tmp_path, size, turn):
        (tmp_path / "a.hdr").write_bytes(radiance(ramp(), size))
        got, _ = read(tmp_path / "a.hdr")
        assert np.abs(got - linear_to_srgb(turn(ramp()))).max() < 0.01

    def test_columns_first(self, tmp_path):
        (tmp_path / "a.hdr").write_bytes(radiance(ramp().swapaxes(0, 1), "+X {h} -Y {w}", runs=False))
        got, _ = read(tmp_path / "a.hdr")
        assert np.abs(got - linear_to_srgb(ramp())).max() < 0.01

    def test_the_exposure_of_the_header_is_undone(self, tmp_path):
        (tmp_path / "a.hdr").write_bytes(radiance(4 * ramp(), head=b"EXPOSURE=2\nEXPOSURE=2\n"))
        got, _ = read(tmp_path / "a.hdr")
        assert np.abs(got - linear_to_srgb(ramp())).max() < 0.01


def tiff(values, compression=1, predictor=1, order="<", planar=False, tile=0):
    """A TIFF of floating-point samples (H, W, C), in strips of 3 rows or in tiles."""
    height, width, count = values.shape
    kind, size = values.dtype.newbyteorder(order), values.dtype.itemsize
    blocks = []
    for plane in [values[..., c : c + 1] for c in range(count)] if planar else [values]:
        if tile:
            wide = np.zeros((-(-height // tile) * tile, -(-width // tile) * tile, plane.shape[2]), values.dtype)
            wide[:height, :width] = plane
            places = [(y, x) for y in range(0, height, tile) for x in range(0, width, tile)]
            blocks += [wide[y : y + tile, x : x + tile] for y, x in places]
        else:
            blocks += [plane[y : y + 3] for y in range(0, height, 3)]
    packed = [_packed(_predicted(block, predictor, kind), compression) for block in blocks]
    offsets = np.cumsum([8] + [len(data) for data in packed])[:-1].tolist()
    tags = {256: width, 257: height, 258: [8 * size] * count, 259: compression, 262: 2 if count > 2 else 1}
    tags |= {277: count, 284: 2 if planar else 1, 317: predictor, 339: [3] * count}
    tags |= {322: tile, 323: tile, 324: offsets, 325: [len(data) for data in packed]} if tile else {
        273: offsets, 278: 3, 279: [len(data) for data in packed]
    }  # fmt: skip
    body = b"".join(packed)
    at, entries, more = 8 + len(body), b"", b""
    for tag, value in sorted(tags.items()):
        listed = value if isinstance(value, list) else [value]
        raw = struct.pack(f"{order}{len(listed)}I", *listed)
        if len(raw) > 4:
            raw, more = struct.pack(order + "I", at + 2 + 12 * len(tags) + 4 + len(more)), more + raw
        entries += struct.pack(order + "HHI", tag, 4, len(listed)) + raw
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at)
    return head + body + struct.pack(order + "H", len(tags)) + entries + bytes(4) + more


def _predicted(block, predictor, kind):
    size = block.dtype.itemsize
    if predictor == 2:
        whole = block.view(f"u{size}")
        steps = whole.copy()
        steps[:, 1:] -= whole[:, :-1]
        return steps.astype(np.dtype(f"u{size}").newbyteorder(kind.byteorder)).tobytes()
    if predictor == 3:
        rows, columns, count = block.shape
        octets = block.reshape(rows, -1).astype(f">f{size}").view(np.uint8).reshape(rows, columns * count, size)
        planes = octets.transpose(0, 2, 1).reshape(rows, size * columns, count)
        steps = planes.copy()
        steps[:, 1:] -= planes[:, :-1]
        return steps.tobytes()
    return block.astype(kind).tobytes()


def _packed(data, compression):
    if compression == 32773:
        return b"".join(bytes([len(data[n : n + 128]) - 1]) + data[n : n + 128] for n in range(0, len(data), 128))
    return zlib.compress(data) if compression in (8, 32946) else data


class TestFloatTiff:
    """Floating-point TIFF is linear light, as EXR is."""

    @pytest.mark.parametrize("order", "<>")
    @pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
    @pytest.mark.parametrize("predictor", [1, 2, 3])
    @pytest.mark.parametrize("layout", [{}, {"planar": True}, {"tile": 16}, {"compression": 8}, {"compression": 32773}])
    def test_layouts(self, tmp_path, order, kind, predictor, layout):
        light = ramp().astype(kind)
        (tmp_path / "a.tif").write_bytes(tiff(light, predictor=predictor, order=order, **layout))
        tags = tiff_tags.check_tiff(tmp_path / "a.tif", "image")
        got = float_tiff.read_samples(tmp_path / "a.tif", tags, "image")
        assert np.array_equal(got, light.astype(np.float32))

    def test_lzw_as_another_program_writes_it(self, tmp_path):
        depth = np.random.default_rng(0).integers(1, 5, (200, 300)).astype(np.float32)
        Image.fromarray(depth).save(tmp_path / "a.tif", compression="tiff_lzw")
        assert np.array_equal(depth_of(tmp_path / "a.tif")[0], depth)

    def test_a_picture(self, tmp_path):
        (tmp_path / "a.tif").write_bytes(tiff(ramp()))
        got, said = read(tmp_path / "a.tif")
        assert np.allclose(got, linear_to_srgb(ramp()), atol=1e-3)
        assert said == []

    def test_another_compression_is_named(self, tmp_path):
        data = tiff(ramp())
        at = data.index(struct.pack("<HHI", 259, 4, 1)) + 8
        (tmp_path / "a.tif").write_bytes(data[:at] + struct.pack("<I", 50000) + data[at + 4 :])
        with pytest.raises(BadRequest, match="Zstandard compression; save it with"):
            read(tmp_path / "a.tif")


class TestOthers:
    """What was right already stays right; what can't be read is named."""

    def test_cmyk(self, tmp_path):
        Image.new("CMYK", (WIDTH, HEIGHT), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
        got, _ = read(tmp_path / "a.jpg")
        assert np.abs(got - (1, 0, 0)).max() < 0.03

    def test_a_colour_profile_is_applied_and_a_damaged_one_said(self, tmp_path):
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        rgb = np.full((HEIGHT, WIDTH, 3), (10, 200, 30), np.uint8)
        for name, profile in (("good.png", lab), ("bad.png", b"nonsense" * 40)):
            Image.fromarray(rgb).save(tmp_path / name, icc_profile=profile)
        assert np.abs(read(tmp_path / "good.png")[0] * 255 - (10, 200, 30)).max() < 1.5
        got, said = read(tmp_path / "bad.png")
        assert np.abs(got * 255 - (10, 200, 30)).max() < 0.1
        assert "profile is damaged" in said[0]

    def test_sixteen_bits_a_channel(self, tmp_path):
        grey = np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)
        for name in ("a.png", "a.tif"):
            Image.fromarray(grey).save(tmp_path / name)
            assert np.abs(read(tmp_path / name)[0] - grey[..., None] / 65535).max() < 1e-4

    def test_the_content_decides_not_the_name(self, tmp_path):
        Image.new("RGB", (WIDTH, HEIGHT), (9, 90, 200)).save(tmp_path / "a.jpg", "PNG")
        assert np.abs(read(tmp_path / "a.jpg")[0] * 255 - (9, 90, 200)).max() < 0.1
        write_exr(tmp_path / "b.exr", {"RGB": ramp()}).rename(tmp_path / "b.png")
        assert np.allclose(read(tmp_path / "b.png")[0], linear_to_srgb(ramp()), atol=1e-3)

    def test_the_first_of_several_pictures_and_it_is_said(self, tmp_path):
        frames = [Image.new("RGB", (WIDTH, HEIGHT), (level, 9, 9)) for level in (10, 100, 200)]
        frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
        got, said = read(tmp_path / "a.tif")
        assert np.abs(got[0, 0] * 255 - (10, 9, 9)).max() < 0.1
        assert "several pictures" in said[0]

    @pytest.mark.parametrize(
        ("head", "told"),
        [
            (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript file"),
            (b"8BPS\0\1" + bytes(40), "a Photoshop file"),
            (b"%PDF-1.7\n", "a PDF file"),
            (b"<svg xmlns='x'/>", "an SVG file"),
            (b"BLENDER-v500", "a .blend file"),
        ],
    )
    def test_other_kinds_are_named(self, tmp_path, head, told):
        (tmp_path / "a.png").write_bytes(head)
        with pytest.raises(BadRequest, match=f"a.png must be a PNG, .*; it is {told}"):
            read(tmp_path / "a.png")

    def test_a_raw_file_is_no_small_picture(self, tmp_path):
        preview = tiff(ramp())
        dng = preview.replace(struct.pack("<HHI", 317, 4, 1), struct.pack("<HHI", 50706, 4, 1))
        (tmp_path / "a.dng").write_bytes(dng)
        with pytest.raises(BadRequest, match="camera raw"):
            read(tmp_path / "a.dng")

    def test_npz(self, tmp_path):
        depth = 2 + ramp()[..., 0]
        np.savez_compressed(tmp_path / "a.npz", depth=depth, mask=depth > 2)
        got, said = depth_of(tmp_path / "a.npz")
        assert np.array_equal(got, depth)
        assert "its array depth, one of 2" in said[0]
        np.savez(tmp_path / "b.npz", a=depth, b=depth)
        with pytest.raises(BadRequest, match="an array named depth, or a single one; it has a, b"):
            depth_of(tmp_path / "b.npz")
        np.save(tmp_path / "c.npy", np.asfortranarray(depth))
        assert np.array_equal(depth_of(tmp_path / "c.npy")[0], depth)

    @pytest.mark.skipif(not features.check("avif"), reason="this build of Pillow has no AVIF")
    def test_avif(self, tmp_path):
        Image.new("RGB", (64, 48), (9, 90, 200)).save(tmp_path / "a.avif", quality=95)
        assert np.abs(read(tmp_path / "a.avif", (64, 48))[0] * 255 - (9, 90, 200)).max() < 4

    def test_heic_without_its_reader_says_how_to_get_it(self, tmp_path, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
        (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(100))
        with pytest.raises(BadRequest, match=r"a\.heic is a HEIC picture.*pip install pillow-heif"):
            read(tmp_path / "a.heic")

    def test_heic(self, tmp_path):
        heif = pytest.importorskip("pillow_heif", reason="pillow-heif is optional")
        heif.from_pillow(Image.new("RGB", (64, 48), (9, 90, 200))).save(tmp_path / "a.heic", quality=95)
        assert np.abs(read(tmp_path / "a.heic", (64, 48))[0] * 255 - (9, 90, 200)).max() < 6

    def test_a_large_photo_is_reduced_in_linear_light(self, tmp_path):
        rows = np.zeros((1200, 1800, 3), np.uint8)
        rows[::2] = 255
        Image.fromarray(rows).save(tmp_path / "a.png")
        got, _ = read(tmp_path / "a.png")
        assert np.abs(got - linear_to_srgb(np.array(0.5))).max() < 0.01, "half of the light, not half of the code"
