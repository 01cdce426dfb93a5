"""cluster.yaml against Ray's own schema, the versions of constraints.txt, and the open internet."""

import copy
import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "cluster.yaml").read_text()


@pytest.fixture
def cluster():
    return yaml.safe_load(TEXT)


@pytest.fixture
def prepared(cluster):
    """As Ray completes it with its defaults for AWS; needs neither boto3 nor a network."""
    return prepare_config(copy.deepcopy(cluster))


def flags(command: str) -> dict[str, str]:
    words = [word.partition("=") for word in shlex.split(command) if word.startswith("--")]
    return {name: value for name, _, value in words}


def starts(commands: list[str]) -> list[str]:
    return [command for command in commands if "ray start" in command]


def test_ray_takes_it(prepared):
    validate_config(prepared)


def test_the_schema_refuses_what_it_does_not_know(prepared):
    prepared["available_node_types"]["head"]["max_worker"] = 1
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepared)


def test_head_without_gpu_trials_and_up_to_four_spot_workers(prepared):
    types = dict(prepared["available_node_types"])
    head = types.pop(prepared["head_node_type"])
    (worker,) = types.values()
    assert head["resources"]["CPU"] == 0
    assert (head["max_workers"], prepared["max_workers"]) == (0, 4)
    assert (worker["min_workers"], worker["max_workers"]) == (0, 4)
    assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert "InstanceMarketOptions" not in head["node_config"]


def test_versions_are_those_of_the_constraints(prepared):
    pinned = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
    )
    commands = "\n".join(prepared["head_setup_commands"] + prepared["worker_setup_commands"])
    found = re.findall(r"([A-Za-z][\w.-]*)(?:\[\w+\])?==([\w.+]+)", commands)
    assert ("ray", pinned["ray"]) in found
    assert [(name, version) for name, version in found if pinned[name] != version] == []


def test_every_node_installs_the_project_with_its_constraints(prepared):
    for kind in ("head_setup_commands", "worker_setup_commands"):
        assert any("install" in c and "-c constraints.txt ." in c for c in prepared[kind])
    assert prepared["file_mounts"]["~/cgan-search"] == "."


def test_the_dashboard_listens_on_loopback_only(prepared):
    (head,) = starts(prepared["head_start_ray_commands"])
    assert flags(head)["--dashboard-host"] == "127.0.0.1"
    assert flags(head)["--autoscaling-config"] == "~/ray_bootstrap_config.yaml"


def test_every_node_has_the_token_and_insists_on_it(prepared):
    assert prepared["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    for kind in ("head_start_ray_commands", "worker_start_ray_commands"):
        (start,) = starts(prepared[kind])
        assert "RAY_AUTH_MODE=token" in start


def test_nothing_is_open_to_the_internet(cluster, prepared):
    code = re.sub(r"(?m)(^|\s)#.*$", "", TEXT)
    assert "0.0.0.0" not in code
    assert "::/0" not in code
    assert "security_group" not in cluster["provider"]
    # A node type without its own groups gets one from Ray, with ssh open to everybody.
    for node in prepared["available_node_types"].values():
        assert node["node_config"]["SecurityGroupIds"]
