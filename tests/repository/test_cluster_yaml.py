"""cluster.yaml against Ray's schema, constraints.txt, the open internet, and a stand-in for AWS."""

import copy
import json
import re
import shlex
from types import SimpleNamespace

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.helpers import ROOT

TEXT = (ROOT / "cluster.yaml").read_text()
STARTS = ("head_start_ray_commands", "worker_start_ray_commands")
SETUPS = ("head_setup_commands", "worker_setup_commands")


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


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().split()
    return {name.lower(): version for name, version in (line.split("==") for line in lines)}


def test_ray_takes_it(prepared):
    validate_config(prepared)


def test_the_schema_refuses_what_it_does_not_know(prepared):
    prepared["available_node_types"]["head"]["max_worker"] = 1
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepared)


def test_head_without_gpu_trials_and_none_to_four_spot_workers(prepared):
    types = dict(prepared["available_node_types"])
    head = types.pop(prepared["head_node_type"])
    (worker,) = types.values()
    assert head["resources"]["CPU"] == 0
    assert (head["max_workers"], prepared["max_workers"]) == (0, 4)
    assert (worker["min_workers"], worker["max_workers"]) == (0, 4)
    assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert "InstanceMarketOptions" not in head["node_config"]
    assert prepared["provider"]["cache_stopped_nodes"] is False


def test_every_package_is_pinned_as_the_constraints_have_it(prepared):
    pinned = constraints()
    lines = [line.lstrip("# ") for line in TEXT.splitlines() if "pip install" in line]
    lines += [command for kind in SETUPS for command in prepared[kind] if "pip install" in command]
    assert len(lines) >= 4
    for line in lines:
        words = shlex.split(line.partition("pip install ")[2])
        assert words[words.index("-c") + 1] == "constraints.txt"
        given = set(words) - {"--quiet", "-c", "constraints.txt", "."}
        for name, version in (word.split("==") for word in given):
            assert pinned.get(name, version) == version


def test_ray_is_a_dependency_whole_and_installed_nowhere_else(prepared):
    assert "ray[" not in "".join(command for kind in SETUPS for command in prepared[kind])
    project = (ROOT / "pyproject.toml").read_text()
    assert re.search(r'"ray\[default,tune\]', project)


def test_tools_that_are_fetched_are_of_one_version(prepared):
    setup = "\n".join(prepared["worker_setup_commands"])
    assert re.search(r"https://astral\.sh/uv/\d+\.\d+\.\d+/install\.sh", setup)
    assert re.search(r"--python 3\.11\.\d+ ", setup)


def test_every_node_installs_the_project_from_what_is_sent(prepared):
    for kind in SETUPS:
        assert any("install" in c and "-c constraints.txt ." in c for c in prepared[kind])
    sent = {
        remote.removeprefix("~/cgan-search/"): local
        for remote, local in prepared["file_mounts"].items()
        if remote.startswith("~/cgan-search/")
    }
    assert all(name == local and (ROOT / local).exists() for name, local in sent.items())
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    # setuptools reads README.md and LICENSE; Ray hashes every file at each `ray up`, so no more.
    others = {"cgan_search.py", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    assert set(sent) == packages | others


def test_the_dashboard_listens_on_loopback_only(prepared):
    (head,) = starts(prepared["head_start_ray_commands"])
    assert flags(head)["--dashboard-host"] == "127.0.0.1"
    assert flags(head)["--autoscaling-config"] == "~/ray_bootstrap_config.yaml"


def test_every_node_has_the_token_and_insists_on_it(prepared):
    assert prepared["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    for kind in STARTS:
        (start,) = starts(prepared[kind])
        assert "RAY_AUTH_MODE=token" in start


def test_jobs_find_the_environments_python_and_may_end_in_order(prepared):
    for kind in STARTS:
        (start,) = starts(prepared[kind])
        assert 'PATH="$HOME/venv/bin:$PATH"' in start
    (head,) = starts(prepared["head_start_ray_commands"])
    assert re.search(r"RAY_JOB_STOP_WAIT_TIME_S=\d{2,}", head)


def test_workers_start_mps_before_ray_and_do_without_it(prepared):
    commands = prepared["worker_start_ray_commands"]
    mps = commands.index("nvidia-cuda-mps-control -d || true")
    assert mps < commands.index(*starts(commands))


def test_nothing_is_open_to_the_internet(cluster, prepared):
    code = re.sub(r"(?m)(^|\s)#.*$", "", TEXT)
    assert "0.0.0.0" not in code
    assert "::/0" not in code
    assert "security_group" not in cluster["provider"]
    for node in prepared["available_node_types"].values():
        # Without its own, Ray makes a group with ssh open to everybody, and a role with all rights.
        assert node["node_config"]["SecurityGroupIds"]
        assert "CHOOSE" in node["node_config"]["IamInstanceProfile"]["Name"]
        assert node["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
    profiles = {
        node["node_config"]["IamInstanceProfile"]["Name"]
        for node in prepared["available_node_types"].values()
    }
    assert len(profiles) == 2  # a worker has not the head's rights


def kind_of_machine(name: str, gpu: str | None = None) -> dict:
    machine = {
        "InstanceType": name,
        "VCpuInfo": {"DefaultVCpus": 4},
        "MemoryInfo": {"SizeInMiB": 16384},
    }
    if gpu is not None:
        machine["GpuInfo"] = {"Gpus": [{"Name": gpu, "Manufacturer": "NVIDIA", "Count": 1}]}
    return machine


ANSWERS = {
    "DescribeKeyPairs": {"KeyPairs": []},
    "CreateKeyPair": {"KeyName": "made", "KeyMaterial": "a key"},
    "DescribeSecurityGroups": {"SecurityGroups": [{"GroupId": "sg-CHOOSE", "VpcId": "vpc-1"}]},
    "DescribeSubnets": {
        "Subnets": [
            {
                "SubnetId": "subnet-1",
                "VpcId": "vpc-1",
                "State": "available",
                "MapPublicIpOnLaunch": True,
                "AvailabilityZone": "us-west-2b",
            }
        ]
    },
    "DescribeInstanceTypes": {
        "InstanceTypes": [kind_of_machine("m7i.xlarge"), kind_of_machine("g6.xlarge", "L4")]
    },
    "RunInstances": {"Instances": [{"InstanceId": "i-1", "State": {"Name": "pending"}}]},
    "DescribeInstances": {
        "Reservations": [
            {"Instances": [{"InstanceId": "i-1", "State": {"Name": "running"}, "Tags": []}]}
        ]
    },
    "CreateTags": {},
    "TerminateInstances": {},
}


@pytest.fixture
def aws(monkeypatch, tmp_path):
    """Ray's AWS code and the real botocore, which checks each request against EC2's own model.

    `calls` are (operation, request); nothing is sent, and what has no answer above fails.
    """
    boto3 = pytest.importorskip("boto3")
    from ray.autoscaler._private.aws import config, node_provider, utils

    calls = []

    def answer(params, model, **_):
        calls.append((model.name, params["body"]))
        return SimpleNamespace(status_code=200), copy.deepcopy(ANSWERS[model.name])

    session = boto3.session.Session("key", "secret", region_name="us-west-2")
    for service in ("ec2", "iam"):
        session.events.register(f"before-call.{service}", answer)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    monkeypatch.setenv("HOME", str(tmp_path))  # where Ray keeps the ssh key that it makes
    caches = (utils.resource_cache, utils.client_cache, config._get_subnets_or_die)
    for cache in caches:
        cache.cache_clear()
    yield SimpleNamespace(provider=node_provider.AWSNodeProvider, calls=calls)
    for cache in caches:
        cache.cache_clear()


def bootstrap(aws, prepared):
    """What `ray up` does before it starts a machine."""
    return aws.provider.fillout_available_node_types_resources(
        aws.provider.bootstrap_config(prepared)
    )


def test_ray_makes_neither_security_group_nor_role(aws, prepared):
    nodes = bootstrap(aws, prepared)["available_node_types"]
    made = {name for name, _ in aws.calls if not name.startswith("Describe")}
    assert made == {"CreateKeyPair"}
    for name, node in nodes.items():
        given = prepared["available_node_types"][name]["node_config"]
        for key in ("SecurityGroupIds", "IamInstanceProfile", "ImageId", "MetadataOptions"):
            assert node["node_config"][key] == given[key]
    assert nodes["head"]["resources"] == {"CPU": 0}
    assert (nodes["gpu_worker"]["resources"]["CPU"], nodes["gpu_worker"]["resources"]["GPU"]) == (
        4,
        1,
    )


@pytest.mark.parametrize("key", ["SecurityGroupIds", "IamInstanceProfile"])
def test_it_would_if_we_gave_none(aws, prepared, key):
    del prepared["available_node_types"]["head"]["node_config"][key]
    with pytest.raises(KeyError, match=r"CreateSecurityGroup|GetInstanceProfile"):
        bootstrap(aws, prepared)


def test_ec2_knows_every_key_of_a_machine(aws, prepared):
    from botocore.exceptions import ParamValidationError

    config = bootstrap(aws, prepared)
    provider = aws.provider(config["provider"], config["cluster_name"])
    for node in config["available_node_types"].values():
        provider.create_node(node["node_config"], {}, 1)
    worker = config["available_node_types"]["gpu_worker"]["node_config"]
    request = aws.calls[-1][1]
    assert request["InstanceMarketOptions.MarketType"] == "spot"
    assert request["IamInstanceProfile.Name"] == worker["IamInstanceProfile"]["Name"]
    with pytest.raises(ParamValidationError, match="MarketTyp"):
        provider.create_node({**worker, "InstanceMarketOptions": {"MarketTyp": "spot"}}, {}, 1)


def test_the_policy_in_the_docs_lets_the_head_do_its_work_and_no_more(aws, prepared):
    config = bootstrap(aws, prepared)
    worker = config["available_node_types"]["gpu_worker"]["node_config"]
    aws.calls.clear()
    provider = aws.provider(config["provider"], config["cluster_name"])
    provider.create_node(worker, {}, 1)
    (node,) = provider.non_terminated_nodes({})
    provider.set_node_tags(node, {"ray-node-status": "up-to-date"})
    provider.terminate_nodes([node])
    done = {f"ec2:{name}" for name, _ in aws.calls}

    page = (ROOT / "docs" / "cluster.md").read_text()
    policy = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    allowed = {}
    for statement in policy["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            allowed.setdefault(action, []).append(statement)
    assert set(allowed) == done | {"iam:PassRole"}
    (passed,) = allowed["iam:PassRole"]
    assert re.fullmatch(r"arn:aws:iam::\d{12}:role/[\w-]+", passed["Resource"])
    (ended,) = allowed["ec2:TerminateInstances"]
    assert ended["Condition"]["StringEquals"] == {
        "ec2:ResourceTag/ray-cluster-name": config["cluster_name"]
    }
    (ran,) = allowed["ec2:RunInstances"]
    assert ran["Condition"]["StringEqualsIfExists"] == {
        "aws:RequestedRegion": config["provider"]["region"],
        "ec2:InstanceType": worker["InstanceType"],
    }
