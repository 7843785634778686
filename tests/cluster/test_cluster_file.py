"""The cluster file of the documentation is one that Ray takes."""

from pathlib import Path

import pytest
import yaml

FILE = Path(__file__).parents[2] / "docs" / "ray_cluster.yaml"


def test_ray_takes_the_cluster_file():
    pytest.importorskip("ray", reason='Ray is not installed (pip install "ray[default]")')
    from ray.autoscaler._private.util import fill_node_type_min_max_workers, prepare_config, validate_config

    config = prepare_config(yaml.safe_load(FILE.read_text(encoding="utf-8")))
    fill_node_type_min_max_workers(config)
    validate_config(config)
    kinds = config["available_node_types"]
    assert kinds[config["head_node_type"]]["resources"] == {"CPU": 0}
    assert all({"InstanceType", "BlockDeviceMappings"} <= kind["node_config"].keys() for kind in kinds.values())


def test_its_commands_use_what_the_project_has():
    text = FILE.read_text(encoding="utf-8")
    root = FILE.parents[1]
    for name in ("server/install.py", "server/requirements-cluster.txt"):
        assert name in text
        assert (root / name).is_file()
