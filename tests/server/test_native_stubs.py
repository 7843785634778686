"""Blender's own splats, which no wheel has yet: the module that makes them runs against the API that the stubs of
Blender 5.3 describe (the package fake-bpy-module-latest), and reads back what it wrote.

What stands in for Blender is made of the stubs' text: a name, an enum's item, a field or a length that they do not have
is an error.
"""

import ast
import importlib
import re
import site
import sys
import types
from functools import cache
from pathlib import Path

import numpy as np
import pytest

ADDON = Path(__file__).parents[2] / "addon"
STUBS = Path(site.getsitepackages()[0], "bpy-stubs")
READONLY = "readonly"

pytestmark = pytest.mark.skipif(
    not STUBS.is_dir(),
    reason="the stubs of Blender 5.3 are not installed: fake-bpy-module-latest, as tests/requirements.txt says",
)


@cache
def text_of(file: str) -> str:
    return Path(STUBS, file).read_text(encoding="utf-8")


@cache
def members(kind: str) -> dict:
    """What a class of `bpy.types` has, its bases' members included: name to the node and the sentence below it."""
    found = re.search(
        rf"^class {kind}(?=[(:\[]).*?(?=^class |\Z)", text_of("types/__init__.pyi"), re.DOTALL | re.MULTILINE
    )
    if found is None:
        raise AttributeError(f"the stubs have no bpy.types.{kind}")
    generic = re.compile(r"^( *(?:class|def) \w+)\[[^]]*\]", re.MULTILINE)  # which the server's Python does not parse
    node = ast.parse(generic.sub(r"\1", found[0])).body[0]
    own = {}
    for base in node.bases:
        name = ast.unparse(base).partition("[")[0]
        if name[:1].isalpha() and "." not in name:
            own |= members(name)
    for statement, after in zip(node.body, [*node.body[1:], None], strict=True):
        name = getattr(statement, "name", None) or ast.unparse(getattr(statement, "target", statement))
        said = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
        own[name] = (statement, said)
    return own


def member(kind: str, name: str):
    try:
        return members(kind)[name]
    except KeyError:
        raise AttributeError(f"the stubs' {kind} has no {name}") from None


@cache
def items(enum: str) -> set:
    """The items of an enum that the stubs name."""
    pattern = rf"^type {enum} = typing.Literal\[(.*?)^\]"
    found = re.search(pattern, text_of("stub_internal/rna_enums/__init__.pyi"), re.DOTALL | re.MULTILINE)
    return set(re.findall(r'^    "(\w+)",', found[1], re.MULTILINE))


def fits(value, annotation: ast.expr | None) -> bool:
    """Whether a value is one of the enum's items, where the annotation is an enum."""
    enums = re.findall(r"rna_enums\.(\w+)", ast.unparse(annotation)) if annotation else []
    return not enums or any(value in items(enum) for enum in enums)


class Described:
    """A thing of Blender that has what the stubs' class of its kind has, and nothing else."""

    def __init__(self, kind: str, **parts):
        object.__setattr__(self, "_kind", kind)
        object.__setattr__(self, "_parts", parts)

    def __getattr__(self, name):
        member(self._kind, name)
        return self._parts[name]

    def __setattr__(self, name, value):
        node, said = member(self._kind, name)
        assert isinstance(node, ast.AnnAssign) and READONLY not in said, f"{self._kind}.{name} can't be set"
        assert fits(value, node.annotation), f"{self._kind}.{name} can't be {value}"
        self._parts[name] = value


def called(kind: str, name: str, *values) -> None:
    """Check a call of a method as the stubs have it: how many values, and which items of enums."""
    node, _ = member(kind, name)
    wanted = [*node.args.posonlyargs, *node.args.args][1:]
    assert len(values) <= len(wanted) and len(values) >= len(wanted) - len(node.args.defaults), f"{kind}.{name}"
    for value, argument in zip(values, wanted):
        assert fits(value, argument.annotation), f"{kind}.{name} does not take {value}"


class Values:
    """The values of an attribute: `foreach_set` and `foreach_get` of one field, for all points."""

    def __init__(self, kind: str, count: int):
        self._kind, self._count, self._stored = kind, count, {}

    def __len__(self):
        return self._count

    def _width(self, field: str) -> int:
        node, said = member(self._kind, field)
        array = re.search(r"array of (\d+) items", said)
        return int(array[1]) if array else 1

    def foreach_set(self, field, values):
        called("bpy_prop_collection", "foreach_set", field, values)
        assert len(values) == self._count * self._width(field), f"{self._kind}.{field} takes {self._width(field)}"
        self._stored[field] = np.array(values, np.float32)

    def foreach_get(self, field, values):
        called("bpy_prop_collection", "foreach_get", field, values)
        assert len(values) == self._count * self._width(field)
        values[:] = self._stored[field]


class Attributes(dict):
    """The attributes of a point cloud."""

    def __init__(self, cloud):
        super().__init__()
        self.cloud = cloud

    def new(self, name, kind, domain):
        called("AttributeGroupPointCloud", "new", name, kind, domain)
        assert name not in self, f"{name} would become {name}.001"
        self[name] = self.made(name, kind, domain)
        return self[name]

    def made(self, name, kind, domain):
        described = "".join(part.capitalize() for part in kind.split("_")) + "Attribute"
        node, _ = member(described, "data")
        value = re.search(r"\[(\w+)\]", ast.unparse(node.annotation))[1]
        return Described(described, name=name, data_type=kind, domain=domain, data=Values(value, self.cloud.count))

    def get(self, name, default=None):
        called("AttributeGroupPointCloud", "get", name, default)
        return super().get(name, default)

    def __iter__(self):
        return iter(self.values())


class PointCloud(Described):
    """A point cloud; as Blender's, it has the attribute `position` from the start."""

    def __init__(self, name: str):
        super().__init__("PointCloud", name=name, type="POINTS", count=0)
        self._parts["attributes"] = Attributes(self)

    @property
    def count(self):
        return self._parts["count"]

    @staticmethod
    def resize_of(cloud, size):
        called("PointCloud", "resize", size)
        cloud._parts["count"] = size
        cloud.attributes["position"] = cloud.attributes.made("position", "FLOAT_VECTOR", "POINT")


class Types:
    """`bpy.types`: classes that have what the stubs' have."""

    def __getattr__(self, kind):
        described = {name: node for name, (node, _) in members(kind).items()}
        if kind != "PointCloud":
            return type(kind, (), described)
        kinds = Described("EnumProperty", enum_items=items("PointcloudTypeItems"))
        functions = {name for name, node in described.items() if isinstance(node, ast.FunctionDef)}
        properties = {"type": kinds} if "type" in described else {}
        rna = types.SimpleNamespace(properties=properties, functions=functions)
        return type(kind, (), described | {"bl_rna": rna})


class Clouds:
    """`bpy.data.pointclouds`."""

    def new(self, name):
        called("BlendDataPointClouds", "new", name)
        member("BlendData", "pointclouds")
        cloud = PointCloud(name)
        cloud._parts["resize"] = lambda size: PointCloud.resize_of(cloud, size)
        return cloud


@pytest.fixture
def modules(monkeypatch):
    """The add-on's modules of splats as they are, imported where `bpy` has what the stubs say."""
    bpy = types.ModuleType("bpy")
    bpy.types = Types()
    bpy.data = types.SimpleNamespace(pointclouds=Clouds())
    monkeypatch.setitem(sys.modules, "bpy", bpy)
    for name, folder in (("addon_of_stubs", ADDON), ("addon_of_stubs.splats", ADDON / "splats")):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        monkeypatch.setitem(sys.modules, name, package)
    names = ("native", "arrays", "export")
    yield types.SimpleNamespace(**{n: importlib.import_module(f"addon_of_stubs.splats.{n}") for n in names})
    for name in [name for name in sys.modules if name.startswith("addon_of_stubs.")]:
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.fixture
def splats(modules):
    random = np.random.default_rng(0)
    quaternions = random.standard_normal((50, 4)).astype(np.float32)
    return modules.arrays.Splats(
        random.standard_normal((50, 3)).astype(np.float32),
        random.uniform(-4, -2, (50, 3)).astype(np.float32),
        quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True),
        random.uniform(-1, 3, 50).astype(np.float32),
        random.uniform(-0.5, 0.5, (50, 16, 3)).astype(np.float32),
    )


class TestNative:
    def test_blender_5_3_has_splats_of_its_own(self, modules):
        assert modules.native.available()

    def test_the_object_is_made_with_what_blender_5_3_has(self, modules, splats):
        cloud = modules.native.native_cloud("splats", splats)
        assert cloud.type == "GAUSSIAN_SPLAT"
        assert cloud.count == 50
        assert len({attribute.name for attribute in cloud.attributes}) == 4 + 15

    def test_what_was_shown_is_exported_as_it_was(self, modules, splats):
        cloud = modules.native.native_cloud("splats", splats)
        obj = Described("Object", type="POINTCLOUD", data=cloud, matrix_world=np.eye(4), name="splats")
        back = modules.export.splats_of(obj)
        assert np.allclose(back.means, splats.means, atol=1e-6)
        assert np.allclose(back.log_scales, splats.log_scales, atol=1e-5)
        assert np.allclose(np.abs((back.quaternions * splats.quaternions).sum(-1)), 1, atol=1e-5)
        assert np.allclose(back.logit_opacities, splats.logit_opacities, atol=1e-4)
        assert np.allclose(back.sh, splats.sh, atol=1e-5)

    def test_what_would_spoil_the_range_of_all_is_left_out(self, modules, splats):
        splats.log_scales[0], splats.logit_opacities[1] = 9, -20
        assert modules.native.native_cloud("splats", splats).count == 48

    def test_no_splats_make_an_empty_object(self, modules, splats):
        assert modules.native.native_cloud("none", splats[np.zeros(50, bool)]).type == "GAUSSIAN_SPLAT"


class TestStandIn:
    """That the stand-in refuses what Blender would: else the tests above would prove nothing."""

    def test_another_type(self):
        cloud = Clouds().new("a")
        with pytest.raises(AssertionError, match="SPLATS"):
            cloud.type = "SPLATS"

    def test_another_attribute_type(self):
        with pytest.raises(AssertionError, match="FLOAT5"):
            Clouds().new("a").attributes.new("a", "FLOAT5", "POINT")

    def test_another_field_or_length(self):
        cloud = Clouds().new("a")
        cloud.resize(2)
        data = cloud.attributes.new("a", "FLOAT4", "POINT").data
        with pytest.raises(AttributeError, match="value"):
            data.foreach_set("value", np.zeros(8))
        with pytest.raises(AssertionError, match="4"):
            data.foreach_set("vector", np.zeros(6))

    def test_another_name(self):
        with pytest.raises(AttributeError, match="kind"):
            Clouds().new("a").kind = "GAUSSIAN_SPLAT"
        with pytest.raises(AttributeError, match="SplatCloud"):
            members("SplatCloud")


@pytest.fixture(scope="module")
def chains():
    """All chains like `bpy.data.objects.new` in the add-on, as tuples of names."""
    found = set()
    for path in ADDON.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "bpy.types":
                found |= {("bpy", "types", alias.name) for alias in node.names}
            elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith("bpy."):
                found.add(tuple(ast.unparse(node).split(".")))
    return found


class TestNames:
    """The rest of the add-on, name by name: what goes in 5.3 is said before it is out."""

    def test_types(self, chains):
        names = {chain[2] for chain in chains if chain[1] == "types" and len(chain) > 2 and "_MT_" not in chain[2]}
        assert len(names) > 20
        assert not {name for name in names if not re.search(rf"^class {name}\b", text_of("types/__init__.pyi"), re.M)}

    def test_data(self, chains):
        names = {chain[2] for chain in chains if chain[1] == "data" and len(chain) > 2 and chain[2].isidentifier()}
        assert len(names) > 5
        assert not names - set(members("BlendData"))

    def test_operators(self, chains):
        names = {chain[2:4] for chain in chains if chain[1] == "ops" and len(chain) > 3 and chain[2] != "dreamzoom"}
        assert names
        assert not {(a, b) for a, b in names if f"\nclass {b}(" not in text_of(f"ops/{a}/__init__.pyi")}
