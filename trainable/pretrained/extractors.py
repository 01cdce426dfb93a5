"""The frozen networks whose features FID is computed on, and where their weights come from.

Both run folded (batch norm inside the convolutions) and channels-last, which doubles their speed
on a CPU and changes features by some 1e-5 relative, no more than another order of summation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from spaces.errors import InputError
from trainable.basics.progress import Progress
from trainable.basics.terminal import os_reason
from trainable.pretrained.catalog import EXTRACTORS, WEIGHTS
from trainable.pretrained.resize import RULES, resized
from trainable.pretrained.weights import fill, fold, known_checksum, read_tensors

CPU_BATCH = 8
"""Images at a time on a CPU: what its caches hold."""
GPU_BATCH = 128


class Extractor(nn.Module):
    """Images to features, by one fixed protocol.

    Attributes:
        name: the extractor's name, part of every score's name.
        features: length D of a feature vector.
        sha256: checksum of the weights file.
        verified: whether that is the known checksum.
        resize: the resize rule, ``bilinear`` or ``clean``.
        protocol: name, resize rule and input size: scores of different protocols do not compare.
    """

    def __init__(
        self, name: str, weights: Path, *, resize: str = "bilinear", unverified: bool = False
    ):
        """Load the weights file `weights`; with `unverified`, whatever its checksum.

        Raises:
            InputError: there is no such resize rule, or the file cannot be read, has another
                checksum, or holds another network or values that are not finite.
        """
        super().__init__()
        if resize not in RULES:
            raise InputError(f"--protocol is {resize!r}, but must be one of {', '.join(RULES)}")
        spec = EXTRACTORS[name]
        self.name, self.features, self.resize, self._spec = name, spec.features, resize, spec
        published = WEIGHTS[name].sha256
        self.sha256 = known_checksum(
            weights, "--features-weights", name, published, unverified=unverified
        )
        self.verified = self.sha256 == published
        network = spec.network()
        fill(network, read_tensors(weights, name), weights, name)
        network.eval().requires_grad_(False)
        fold(network)
        self.network = network.to(memory_format=torch.channels_last)  # pyright: ignore

    @property
    def protocol(self) -> str:
        """Such as ``inception/clean-299``, or ``inception/clean-299+unverified``."""
        mark = "" if self.verified else "+unverified"
        return f"{self.name}/{self.resize}-{self._spec.size}{mark}"

    @torch.inference_mode()
    def forward(
        self, images: Tensor | Sequence[Tensor], progress: Progress | None = None
    ) -> Tensor:
        """Features [n, D], float32 on the network's device, of uint8 images [n, C, H, W].

        Images [C, H, W] of several sizes come as a list. Grey images are repeated to three
        channels. Images go to the device as bytes. `progress` is told how many images are done.
        """
        device = next(self.network.parameters()).device
        shift, scale = self._spec.scaling[self.resize]
        batch = CPU_BATCH if device.type == "cpu" else GPU_BATCH
        out = []
        with _full_float32():
            for start in range(0, len(images), batch):
                part = images[start : start + batch]
                alike = [part] if isinstance(part, Tensor) else [image[None] for image in part]
                x = torch.cat([self._fitted(each.to(device)) for each in alike])
                x = ((x - shift) / scale).contiguous(memory_format=torch.channels_last)
                out.append(self.network(x))
                if progress is not None:
                    progress(min(start + batch, len(images)), len(images))
        return torch.cat(out)

    def _fitted(self, images: Tensor) -> Tensor:
        """Images [n, 3, size, size] at the network's input size, 0 to 255."""
        return resized(images, self._spec.size, self.resize).expand(-1, 3, -1, -1)

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """Scores [n, classes] by the network's own classifier, of what `forward` returned.

        Inception has 1008 classes and, as in the Inception Score, no bias; efficientnet-lite0 has
        ImageNet's 1000. They lie where `features` lie.
        """
        device = next(self.network.parameters()).device
        with _full_float32():
            return self.network.logits(features.to(device)).to(features.device)


def load_extractor(
    choice: str, weights: Path | None = None, *, resize: str = "bilinear", unverified: bool = False
) -> tuple[Extractor, str]:
    """The extractor for ``--features choice``, and one line that says which and why.

    ``auto`` takes Inception where its weights can be had (`weights`, the torch hub cache, or a
    download) and efficientnet-lite0, whose weights come inside a Python package, where not.
    `unverified` takes the file `weights` with any checksum, and marks line and protocol.

    Raises:
        InputError: unknown choice, a wrong weights file, or weights that cannot be had.
    """
    if choice not in ("auto", *EXTRACTORS):
        names = ", ".join(EXTRACTORS)
        raise InputError(f"--features is {choice!r}, but must be one of auto, {names}")
    if weights is not None:
        name = "inception" if choice == "auto" else choice
        extractor = Extractor(name, weights, resize=resize, unverified=unverified)
        kind = "weights" if extractor.verified else "unverified weights"
        return extractor, f"features: {name}, {kind} {weights}"
    if unverified:
        raise InputError("--unverified-weights needs a file: name it with --features-weights")
    name, why = choice, "ImageNet weights from its package"
    if choice == "auto":
        name = "inception"
        try:
            WEIGHTS[name].fetched()
        except OSError as error:
            why = f"the Inception weights are not available here: {os_reason(error)}"
            name = "efficientnet-lite0"
    with WEIGHTS[name].at_hand("--features", "efficientnet-lite0") as path:
        where = f" ({why})" if WEIGHTS[name].packaged else f", weights {path}"
        return Extractor(name, path, resize=resize), f"features: {name}{where}"


@contextmanager
def _full_float32() -> Iterator[None]:
    """No TF32 on a GPU, whatever training chose: it keeps 10 bits of a factor, float32 has 23.

    That costs some speed there; scores that agree with a CPU's come first. The setting is the
    whole process's, and put back at the end.
    """
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # pyright: ignore
    before = matmul.fp32_precision, conv.fp32_precision
    matmul.fp32_precision = conv.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision, conv.fp32_precision = before
