"""Commands, YAML and manifests of docs/cluster.md and deploy/, against what is to run them."""

import copy
import functools
import re
import shlex
import subprocess

import click
import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from search.study.flags import parser
from spaces.errors import InputError
from tests.helpers import ROOT

PAGE = (ROOT / "docs" / "cluster.md").read_text()
CLUSTER = (ROOT / "cluster.yaml").read_text()
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
FIELDS = yaml.safe_load((ROOT / "tests" / "data" / "kuberay" / "fields.yaml").read_text())
PINNED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
# Ray's command line imports Ray Serve, which warns of itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def manifest(name: str) -> dict:
    return yaml.safe_load((ROOT / "deploy" / "kuberay" / name).read_text())


# --- Commands


def commands(text: str) -> list[list[str]]:
    """The words of each command in the lines of `text`, set-up by `export` and `cd` included."""
    found = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if "$(" in line or "${" in line:  # kubectl's, which is not here to ask
            continue
        words = shlex.shlex(line, posix=True, punctuation_chars="&;")
        words.whitespace_split = True
        found.append([])
        for word in words:
            if re.fullmatch("[&;]+", word):
                found.append([])
            elif found[-1] or not re.fullmatch(r"\w+=.*", word):
                found[-1].append(word)
    return [words for words in found if words]


def shown(text: str, margin: str) -> list[list[str]]:
    """The commands of the indented blocks of `text`, and those between backticks."""
    blocks = "\n".join(re.findall(rf"(?m)^{margin}    (.*)$", text))
    # Two words, such as `ray up`, are a name.
    quoted = [q for q in re.findall(r"`([^`\n]+)`", text) if q.count(" ") > 1]
    return commands(blocks + "\n") + [words for q in quoted for words in commands(q)]


SHOWN = [
    *shown(re.sub(r"(?ms)^```.*?^```", "", PAGE), ""),
    *shown(CLUSTER, "#"),
    *commands(manifest("rayjob.yaml")["spec"]["entrypoint"]),
]


@functools.cache
def group(name: str) -> click.Group:
    """The command line of ``ray`` or ``mlflow``; seconds, which collecting tests need not cost."""
    if name == "ray":
        from ray.scripts.scripts import cli
    else:
        from mlflow.cli import cli
    return cli


def check(words: list[str]) -> str | None:
    """Let the command's own parser read `words`; the command's name, or None if it is not known.

    Raises:
        click.UsageError, InputError: it does not take them.
    """
    match words:
        case ["python", "-m", ("search.run" | "search.doctor") as name, *rest]:
            parser().parse_args(rest)
            return name
        case [("ray" | "mlflow") as name, *rest]:
            command: click.Command | None = group(name)
            while isinstance(command, click.Group):
                name = f"{name} {rest[0]}"
                command = command.get_command(click.Context(command), rest.pop(0))
            assert command is not None, f"there is no {name}"
            given = command.make_context(name, rest).params
            inner = list(given.get("entrypoint") or shlex.split(given.get("cmd") or ""))
            assert not inner or check(inner) is not None
            return name
    return None


def test_every_command_shown_is_one():
    checked = [name for words in SHOWN if (name := check(words)) is not None]
    assert checked.count("search.run") >= 6
    expected = {"search.doctor", *(f"ray {c}" for c in ("up", "down", "start", "exec"))}
    assert expected | {f"ray job {c}" for c in ("submit", "logs", "stop")} <= set(checked)


def test_every_flag_named_is_one():
    ours = set(parser()._option_string_actions)
    start = group("ray").commands["start"]
    rays = {option for param in start.params for option in param.opts}
    named = set(re.findall(r"`(--[\w-]+)", PAGE)) - {"--no-restart"}
    assert named <= ours | rays
    assert len(named & ours) > 8


@pytest.mark.parametrize(
    "line",
    [
        "python -m search.run --spaces full",
        "ray up cluster.yaml --no-restat",
        "ray job submit --workingdir . -- python -m search.run",
        "ray job submit --working-dir . -- python -m search.run --spaces full",
        "ray exec cluster.yaml 'mlflow ui --backend sqlite:////shared/runs/mlflow.db'",
    ],
)
def test_a_misspelt_command_is_found(line):
    with pytest.raises((click.UsageError, InputError)):
        check(commands(line)[0])


OTHERS = {  # by Ray, AWS, Kubernetes, the system and SQLite
    "Missing authentication token",
    "Invalid authentication token",
    "no authentication token was found",
    "CreateContainerConfigError",
    "Package size ",
    " exceeds the maximum size",
    "No locks available",
    "database is locked",
    "out_of_memory",
}


def test_what_a_search_is_said_to_say_it_says():
    table = PAGE.partition("## What went wrong")[2].partition("## ")[0]
    firsts = [row.split("|")[1] for row in table.splitlines() if row.startswith("| ")][2:]
    quoted = [q for first in firsts for q in re.findall(r"`([^`]+)`", first) if "ray " not in q]
    pieces = {piece for q in quoted for piece in q.split("…") if piece.strip(" ,")} - OTHERS
    sources = [p for package in ("search", "trainable") for p in (ROOT / package).rglob("*.py")]
    # Adjacent literals are one text, and what stands between braces was an ellipsis.
    code = "\n".join(re.sub(r'"\s*\n\s*f?"', "", path.read_text()) for path in sources)
    assert len(pieces) > 8
    assert {piece for piece in pieces if piece not in code} == set()


# --- Machines of one's own


@pytest.fixture
def local():
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    return yaml.safe_load(text)


def test_ray_takes_the_file_for_machines_of_ones_own(local):
    prepared = prepare_config(copy.deepcopy(local))
    validate_config(prepared)
    (node,) = prepared["available_node_types"].values()
    assert node["min_workers"] == node["max_workers"] == len(local["provider"]["worker_ips"])
    local["worker_ip"] = []
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(local))


def test_it_sets_machines_up_as_cluster_yaml_does(local):
    cluster = yaml.safe_load(CLUSTER)
    for key in ("file_mounts", "rsync_exclude", "setup_commands", "worker_start_ray_commands"):
        assert local[key] == cluster[key]
    mps, *head = [c for c in local["head_start_ray_commands"] if "ray stop" not in c]
    assert mps in cluster["worker_start_ray_commands"]
    assert head == [c for c in cluster["head_start_ray_commands"] if "ray stop" not in c]


# --- The image


def instructions() -> list[tuple[str, str]]:
    lines = [line for line in DOCKERFILE.splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [(name, rest) for name, _, rest in (s.partition(" ") for s in text.splitlines()) if rest]


def arguments(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def test_the_image_stands_on_one_exact_python():
    assert arguments("FROM") == ["${BASE}"]
    (base,) = arguments("ARG")
    python = re.fullmatch(r"BASE=python:(3\.11\.\d+)-slim-\w+(@sha256:[0-9a-f]{64})?", base)
    assert python is not None
    named = re.findall(r"python:\d[\w.-]+", DOCKERFILE)
    assert set(named) == {base.removeprefix("BASE=").partition("@")[0]}
    assert f"--python {python[1]} " in CLUSTER  # as nodes elsewhere have it


def test_the_image_has_the_versions_of_the_constraints():
    installs = [run for run in arguments("RUN") if "pip install" in run]
    assert installs
    for run in installs:
        assert "--no-cache-dir" in run
        assert "-c constraints.txt" in run or "--no-deps" in run
        assert "==" not in run  # a second place for versions


def test_nothing_runs_as_root_in_the_image():
    names = [name for name, _ in instructions()]
    assert arguments("USER") == ["1000:1000"]
    assert not {"RUN", "COPY", "ADD"} & set(names[names.index("USER") :])


def test_only_what_the_image_needs_is_sent_to_docker():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = [source for copy in arguments("COPY") for source in copy.split()[:-1]]
    assert [rule for rule in rules[1:] if rule.startswith("!")] == [f"!{name}" for name in copied]
    assert set(copied) == set(yaml.safe_load(CLUSTER)["file_mounts"].values()) - {
        "~/.ray/auth_token"
    }


@pytest.mark.parametrize(
    "left", ["runs", "mlruns", "chest_xray", "small", "build", "dist", ".venv", "a.egg-info",
             "mlflow.db", "a/study.db", "study.db-journal", "search/__pycache__"],
)  # fmt: skip
def test_what_a_search_or_a_build_leaves_is_in_neither_commit_nor_job(left):
    """By git itself; Ray sends a job's folder without what .gitignore names, too."""
    found = subprocess.run(
        ["git", "check-ignore", "--no-index", f"{left}/x"], cwd=ROOT, capture_output=True
    )
    if found.returncode > 1:
        pytest.skip("not a git repository")
    assert found.returncode == 0, left


# --- Kubernetes


VALUES = {
    "text": {"type": "string"},
    "whole": {"type": "integer"},
    "number": {"type": "number"},
    "bool": {"type": "boolean"},
    "quantity": {"type": ["integer", "string"], "pattern": r"^\d+(\.\d+)?([KMGTPE]i?|m|k)?$"},
}


def schema(fields: str | list | dict) -> dict:
    """A JSON schema of the notation of fields.yaml; it refuses what that does not name."""
    if isinstance(fields, str):
        return VALUES.get(fields) or {"enum": fields.split("|")}
    if isinstance(fields, list):
        return {"type": "array", "items": schema(fields[0])}
    if list(fields) == ["*"]:
        return {"type": "object", "additionalProperties": schema(fields["*"])}
    return {
        "type": "object",
        "properties": {name.rstrip("!"): schema(value) for name, value in fields.items()},
        "required": [name[:-1] for name in fields if name.endswith("!")],
        "additionalProperties": False,
    }


@functools.cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    top = {"apiVersion!": "ray.io/v1", "kind!": kind, "metadata!": {"name!": "text"}}
    found = schema({**top, "spec!": FIELDS["kinds"][kind]})
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def validate(resource: dict) -> None:
    validator(resource["kind"]).validate(resource)


@pytest.fixture(params=["raycluster.yaml", "rayjob.yaml"])
def resource(request):
    return manifest(request.param)


@pytest.fixture
def spec(resource):
    """Of the cluster, be it a job's or not."""
    return resource["spec"].get("rayClusterSpec", resource["spec"])


def pods(resource: dict) -> list[dict]:
    spec = resource["spec"].get("rayClusterSpec", resource["spec"])
    templates = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    own = [resource["spec"]["submitterPodTemplate"]] if resource["kind"] == "RayJob" else []
    return [t["template"]["spec"] for t in templates] + [t["spec"] for t in own]


def test_kuberay_knows_every_field(resource):
    validate(resource)


def test_a_field_that_it_does_not_know_is_refused(resource, spec):
    spec["workerGroupSpecs"][0]["minReplica"] = 0
    with pytest.raises(jsonschema.ValidationError, match="minReplica"):
        validate(resource)


def test_a_field_that_it_insists_on_is_missed(resource, spec):
    del spec["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    with pytest.raises(jsonschema.ValidationError, match="containers"):
        validate(resource)


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (("authOptions", "mode"), "tokens"),
        (("headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("headGroupSpec", "template", "spec", "securityContext", "runAsNonRoot"), "yes"),
        (("autoscalerOptions", "idleTimeoutSeconds"), "10m"),
        (("autoscalerOptions", "resources", "limits", "memory"), "1 GB"),
    ],
)
def test_a_wrong_value_is_refused(resource, spec, place, wrong):
    *path, last = place
    for key in path:
        spec = spec[key]
    spec[last] = wrong
    with pytest.raises(jsonschema.ValidationError):
        validate(resource)


def test_versions_are_those_of_the_project(resource, spec):
    assert spec["rayVersion"] == PINNED["ray"]
    project = (ROOT / "pyproject.toml").read_text()
    version = re.findall(r'(?m)^version = "(.*)"$', project)[0]
    images = {c["image"] for pod in pods(resource) for c in pod["containers"]}
    assert images == {f"registry.CHOOSE/cgan-search:{version}"}
    assert f"-t registry.CHOOSE/cgan-search:{version} " in PAGE
    assert f"-t cgan-search:{version} " in DOCKERFILE


def test_the_head_runs_no_trial_and_gpu_pods_come_with_the_queue(spec):
    head, (workers,) = spec["headGroupSpec"], spec["workerGroupSpecs"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert "nvidia.com/gpu" not in head["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert spec["enableInTreeAutoscaling"] is True
    assert (workers["replicas"], workers["minReplicas"], workers["maxReplicas"]) == (0, 0, 4)
    resources = workers["template"]["spec"]["containers"][0]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == 1
    assert resources["requests"] == resources["limits"]


def test_no_pod_runs_as_root(resource, spec):
    (user,) = {pod["securityContext"]["runAsUser"] for pod in pods(resource)}
    assert arguments("USER") == [f"{user}:{user}"]
    contexts = [c["securityContext"] for pod in pods(resource) for c in pod["containers"]]
    for context in [*contexts, spec["autoscalerOptions"]["securityContext"]]:
        assert context == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    for pod in pods(resource):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_nothing_answers_without_the_token_or_outside(resource, spec):
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    host = spec["headGroupSpec"]["rayStartParams"]["dashboard-host"]
    assert host == {"RayCluster": "127.0.0.1", "RayJob": "0.0.0.0"}[resource["kind"]]


def test_ray_takes_the_start_parameters(spec):
    for group, head in ((spec["headGroupSpec"], ["--head"]), (spec["workerGroupSpecs"][0], [])):
        given = [f"--{name}={value}" for name, value in group["rayStartParams"].items()]
        assert check(["ray", "start", *head, *given]) == "ray start"


def test_all_nodes_share_the_folder_that_the_job_names(resource):
    claim = manifest("storage.yaml")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in pods(resource)[:2]:
        (volume,) = pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        (mount,) = pod["containers"][0]["volumeMounts"]
        assert mount == {"name": volume["name"], "mountPath": "/shared"}
    words = manifest("rayjob.yaml")["spec"]["entrypoint"].split()
    for flag in ("--data", "--output"):
        assert words[words.index(flag) + 1].startswith("/shared/")


def test_a_job_has_the_cluster_that_stays_but_for_who_may_reach_the_dashboard():
    stays = manifest("raycluster.yaml")["spec"]
    comes = manifest("rayjob.yaml")["spec"]["rayClusterSpec"]
    for spec in (stays, comes):
        del spec["headGroupSpec"]["rayStartParams"]["dashboard-host"]
    assert stays == comes


def test_a_job_is_tried_once_and_leaves_nothing_running():
    spec = manifest("rayjob.yaml")["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["shutdownAfterJobFinishes"] is True
