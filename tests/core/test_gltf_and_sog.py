"""GLB and SOG files as other programs write them: compressed, quantised, in nodes; in folders, and of version 1."""

from __future__ import annotations

import base64
import json
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from some_splats import assert_close, covariances_of, in_order_of, some

from core import formats
from core.errors import SplatFileError
from core.formats import spz
from core.formats.sog import pictures
from core.gaussians import Gaussians, transformed
from core.safety import limits

KHR = "KHR_gaussian_splatting"


def chunks(path: Path) -> tuple[dict, bytes]:
    """The JSON and the data of a GLB."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def glb(path: Path, document: dict, data: bytes) -> Path:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    data += bytes(-len(data) % 4)
    head = struct.pack("<4sIII4s", b"glTF", 2, 28 + len(text) + len(data), len(text), b"JSON")
    path.write_bytes(head + text + struct.pack("<I4s", len(data), b"BIN\0") + data)
    return path


def compressed(path: Path, splats: Gaussians, name: str, nested: bool, version: int) -> Path:
    """A GLB whose splats are an SPZ."""
    packed = spz.packed_bytes("x", splats, formats.About(), version)
    own = {name: {"bufferView": 0}}
    extensions = {KHR: {"kernel": "ellipse", "extensions": own}} if nested else own
    primitive = {"mode": 0, "attributes": {"POSITION": 0}, "extensions": extensions}
    document = {
        "asset": {"version": "2.0"},
        "extensionsUsed": [KHR, name],
        "extensionsRequired": [KHR, name],
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "buffers": [{"byteLength": len(packed)}],
        "bufferViews": [{"buffer": 0, "byteLength": len(packed)}],
        "accessors": [{"componentType": 5126, "count": len(splats), "type": "VEC3"}],
    }
    return glb(path, document, packed)


class TestGlb:
    @pytest.mark.parametrize(
        ("name", "nested"),
        [
            ("KHR_gaussian_splatting_compression_spz_2", True),
            ("KHR_gaussian_splatting_compression_spz", True),
            ("KHR_spz_gaussian_splats_compression", False),
        ],
    )
    @pytest.mark.parametrize("version", [2, 3, 4])
    def test_an_spz_in_it_is_read_as_the_spz_is(self, tmp_path, name, nested, version):
        splats = some(200, 2)
        found = formats.read(compressed(tmp_path / "a.glb", splats, name, nested, version))
        spz.write_splats(tmp_path / "a.spz", splats, version)
        alone = formats.read(tmp_path / "a.spz")
        assert found.up == alone.up == "Y"
        assert all(np.array_equal(was, now) for was, now in zip(alone.splats.parts, found.splats.parts))

    def test_nodes_move_turn_and_scale_their_splats_and_harmonics(self, tmp_path):
        splats = some(60, 3)
        formats.write(tmp_path / "a.glb", splats)
        document, data = chunks(tmp_path / "a.glb")
        turn = [0.5, 0.5, 0.5, 0.5]  # x to y to z
        document["nodes"] = [
            {"children": [1, 2], "translation": [1, 2, 3], "scale": [2, 2, 2]},
            {"mesh": 0, "rotation": turn},
            {"mesh": 0, "matrix": [1, 0, 0, 0, 0, 3, 0, 0, 0, 0, 1, 0, 0, 5, 0, 1]},
        ]
        found = formats.read(glb(tmp_path / "b.glb", document, data)).splats
        first, second = np.eye(4), np.diag([2.0, 6, 2, 1])
        first[:3, :3] = 2 * np.array([(0, 0, 1), (1, 0, 0), (0, 1, 0)])
        first[:3, 3], second[:3, 3] = (1, 2, 3), (1, 12, 3)
        for part, matrix in ((found[:60], first), (found[60:], second)):
            true = transformed(splats, matrix)
            assert np.allclose(part.means, true.means, atol=1e-5)
            assert np.allclose(covariances_of(part), covariances_of(true), rtol=1e-3, atol=1e-7)
            assert np.allclose(part.sh, true.sh, atol=1e-4)

    def test_quantised_attributes(self, tmp_path):
        splats = some(50)
        formats.write(tmp_path / "a.glb", splats)
        document, data = chunks(tmp_path / "a.glb")
        attributes = document["meshes"][0]["primitives"][0]["attributes"]
        for name, code, values in (
            ("ROTATION", 5122, np.round(splats.quaternions[:, [1, 2, 3, 0]] * 32767).astype("<i2")),
            ("OPACITY", 5121, np.round(splats.opacities[:, None] * 255).astype("u1")),
        ):
            view = {"buffer": 0, "byteOffset": len(data), "byteLength": values.nbytes}
            accessor = document["accessors"][attributes[f"{KHR}:{name}"]]
            accessor |= {"bufferView": len(document["bufferViews"]), "componentType": code, "normalized": True}
            document["bufferViews"].append(view)
            data += values.tobytes() + bytes(-values.nbytes % 4)
        document["buffers"][0]["byteLength"] = len(data)
        found = formats.read(glb(tmp_path / "b.glb", document, data)).splats
        assert_close(found, splats, scale=1e-6, turn=3e-3, opacity=2e-3, colour=1e-6)

    def test_scales_of_the_draft_and_linear_colours_are_said(self, tmp_path):
        splats = some(50)
        formats.write(tmp_path / "a.glb", splats)
        document, data = chunks(tmp_path / "a.glb")
        primitive = document["meshes"][0]["primitives"][0]
        view = document["bufferViews"][document["accessors"][primitive["attributes"][f"{KHR}:SCALE"]]["bufferView"]]
        start = view["byteOffset"]
        data = data[:start] + splats.log_scales.tobytes() + data[start + view["byteLength"] :]
        primitive["extensions"][KHR]["colorSpace"] = "lin_rec709_display"
        found = formats.read(glb(tmp_path / "b.glb", document, data))
        assert "its scales are logarithms" in found.report
        assert "its colours were linear light" in found.report
        assert np.allclose(found.splats.log_scales, splats.log_scales, atol=1e-6)
        linear = np.clip(splats.rgb, 0, None)
        encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
        assert np.allclose(found.splats.rgb, encoded, atol=1e-4)

    def test_a_mesh_is_no_file_of_splats(self, tmp_path):
        document = {
            "asset": {"version": "2.0"},
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": [{"attributes": {}}]}],
        }
        with pytest.raises(SplatFileError, match="holds no splats") as caught:
            formats.read(glb(tmp_path / "a.glb", document, b""))
        assert "Import › glTF" in caught.value.remedy


def beside(folder: Path, splats: Gaussians) -> Path:
    """A .gltf whose data are in a file beside it."""
    formats.write(folder / "whole.glb", splats)
    document, data = chunks(folder / "whole.glb")
    document["buffers"][0]["uri"] = "data/my%20splats.bin"
    (folder / "data").mkdir()
    (folder / "data" / "my splats.bin").write_bytes(data)
    (folder / "scene.gltf").write_text(json.dumps(document))
    return folder / "scene.gltf"


class TestGltf:
    def test_data_beside_it_are_read_as_within_a_glb(self, tmp_path):
        splats = some(100, 3)
        found = formats.read(beside(tmp_path, splats))
        whole = formats.read(tmp_path / "whole.glb")
        assert (found.up, found.form) == (whole.up, whole.form)
        assert all(np.array_equal(was, now) for was, now in zip(whole.splats.parts, found.splats.parts))

    def test_data_within_its_json_and_beside_a_glb_too(self, tmp_path):
        splats = some(50, 1)
        path = beside(tmp_path, splats)
        document = json.loads(path.read_text())
        wanted = formats.read(path).splats
        glb(tmp_path / "outside.glb", document, b"")
        assert all(map(np.array_equal, formats.read(tmp_path / "outside.glb").splats.parts, wanted.parts))
        data = base64.b64encode((tmp_path / "data/my splats.bin").read_bytes()).decode()
        document["buffers"][0]["uri"] = f"data:application/octet-stream;base64,{data}"
        (tmp_path / "inside.gltf").write_text(json.dumps(document))
        assert all(map(np.array_equal, formats.read(tmp_path / "inside.gltf").splats.parts, wanted.parts))

    @pytest.mark.parametrize(
        "uri",
        [
            "../secret.bin",
            "%2e%2e/secret.bin",
            "data/../../secret.bin",
            "/etc/passwd",
            "file:///etc/passwd",
            "http://localhost/a.bin",
            "C:\\secret.bin",
            "data/link.bin",
            "linked/secret.bin",
            "data",
            "data:;base64,####",
            7,
            None,
        ],
    )
    def test_nothing_but_files_below_its_folder_is_opened(self, tmp_path, uri):
        folder = tmp_path / "scene"
        folder.mkdir()
        path = beside(folder, some(20, 0))
        secret = (folder / "data/my splats.bin").read_bytes()
        (tmp_path / "secret.bin").write_bytes(secret)
        if os.name == "posix":
            (folder / "data" / "link.bin").symlink_to(tmp_path / "secret.bin")
            (folder / "linked").symlink_to(tmp_path)
        document = json.loads(path.read_text())
        document["buffers"][0]["uri"] = uri
        path.write_text(json.dumps(document))
        with pytest.raises(SplatFileError, match=r"scene\.gltf"):
            formats.read(path)

    def test_a_file_that_is_missing_or_too_short_is_told(self, tmp_path):
        path = beside(tmp_path, some(20, 0))
        file = tmp_path / "data/my splats.bin"
        file.write_bytes(file.read_bytes()[:-200])
        with pytest.raises(SplatFileError, match="larger than its data"):
            formats.read(path)
        file.unlink()
        with pytest.raises(SplatFileError, match="is not beside it") as caught:
            formats.read(path)
        assert "put it there" in caught.value.remedy

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"buffers": 3}', '{"meshes": [], "nodes": [{"mesh": 0}]}'])
    def test_damaged_json_is_one_clear_line(self, tmp_path, text):
        (tmp_path / "a.gltf").write_text(text)
        with pytest.raises(SplatFileError, match=r"a\.gltf"):
            formats.read(tmp_path / "a.gltf")

    def test_data_in_very_many_files_are_refused(self, tmp_path, monkeypatch):
        path = beside(tmp_path, some(20, 0))
        document = json.loads(path.read_text())
        views = document["bufferViews"]
        document["buffers"] = [document["buffers"][0]] * len(views)
        document["bufferViews"] = [view | {"buffer": index} for index, view in enumerate(views)]
        path.write_text(json.dumps(document))
        assert len(formats.read(path).splats) == 20
        monkeypatch.setattr(limits, "GLB_BUFFERS", 2)
        with pytest.raises(SplatFileError, match="in more than"):
            formats.read(path)


def unpacked(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder / "meta.json"


class TestSog:
    @pytest.mark.parametrize("degree", [0, 1, 3])
    def test_a_zip_a_folder_in_it_and_a_folder_are_alike(self, tmp_path, degree):
        formats.write(tmp_path / "a.sog", some(500, degree))
        meta = unpacked(tmp_path / "a.sog", tmp_path / "scan")
        with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in meta.parent.iterdir():
                archive.write(file, f"deep/scan/{file.name}")
        first, *others = (formats.read(path) for path in (tmp_path / "a.sog", meta, meta.parent, tmp_path / "b.zip"))
        assert first.up == "-Y"
        for other in others:
            assert all(np.array_equal(was, now) for was, now in zip(first.splats.parts, other.splats.parts))

    def test_version_1_had_ranges_in_place_of_codebooks(self, tmp_path):
        splats = some(16, 0)
        rng = np.random.default_rng(0)
        folder = tmp_path / "old"
        folder.mkdir()
        bytes_of = {name: rng.integers(0, 256, (4, 4, 4), dtype=np.uint8) for name in "luscq"}
        bytes_of["q"][..., 3] = 252
        bytes_of["q"][..., :3] = 127
        for name, values in bytes_of.items():
            (folder / f"{name}.webp").write_bytes(pictures.webp(values))
        meta = {
            "means": {"shape": [16, 3], "mins": [-1, -2, -3], "maxs": [1, 2, 3], "files": ["l.webp", "u.webp"]},
            "scales": {"shape": [16, 3], "mins": [-9, -9, -9], "maxs": [-1, -2, -3], "files": ["s.webp"]},
            "quats": {"shape": [16, 4], "files": ["q.webp"]},
            "sh0": {"shape": [16, 1, 4], "mins": [-1, -1, -1, -4], "maxs": [1, 1, 1, 4], "files": ["c.webp"]},
        }
        (folder / "meta.json").write_text(json.dumps(meta))
        found = formats.read(folder / "meta.json").splats
        words = (bytes_of["l"].astype(int) + 256 * bytes_of["u"].astype(int)).reshape(16, 4)[:, :3]
        bent = np.array([-1, -2, -3]) + words / 65535 * np.array([2, 4, 6])
        assert np.allclose(found.means, np.sign(bent) * (np.exp(np.abs(bent)) - 1), atol=1e-5)
        scales = bytes_of["s"].reshape(16, 4)[:, :3] / 255 * np.array([8, 7, 6]) - 9
        assert np.allclose(found.log_scales, scales, atol=1e-5)
        assert np.allclose(found.logit_opacities, bytes_of["c"].reshape(16, 4)[:, 3] / 255 * 8 - 4, atol=1e-5)
        assert np.allclose(np.abs(found.quaternions[:, 0]), 1, atol=1e-2)
        assert len(splats) == len(found)

    def test_harmonics_beyond_the_palette_share_its_entries(self, tmp_path, monkeypatch):
        from core.formats.sog import writing

        monkeypatch.setattr(writing, "MOST_ENTRIES", 256)
        splats = some(2000, 1)
        splats.sh[:, 1:] = np.random.default_rng(0).integers(0, 5, (2000, 1, 1)) * 0.1  # five kinds
        formats.write(tmp_path / "a.sog", splats)
        back = in_order_of(formats.read(tmp_path / "a.sog").splats, splats)
        assert np.abs(back.sh[:, 1:] - splats.sh[:, 1:]).max() < 0.02

    @pytest.mark.parametrize("shape", [(1, 1), (4, 4), (37, 5), (64, 129)])
    @pytest.mark.parametrize("kind", ["noise", "steps", "even", "skew"])
    def test_lossless_webp_comes_back_as_it_was(self, shape, kind):
        rng = np.random.default_rng(0)
        picture = {
            "noise": rng.integers(0, 256, (*shape, 4)),
            "steps": np.cumsum(rng.integers(0, 3, (*shape, 4)), 1),
            "even": np.full((*shape, 4), 7),
            "skew": np.minimum(rng.geometric(0.6, (*shape, 4)), 255),
        }[kind].astype(np.uint8)
        data = pictures.webp(picture)
        assert pictures.size_of("a", data) == (shape[1], shape[0])
        assert np.array_equal(pictures.decoded("a", data), picture)
