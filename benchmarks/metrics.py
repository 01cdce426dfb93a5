"""What one evaluation costs here, and with the packages people use: `make bench-metrics`.

Every contestant gets the same 200 PNG files and cached statistics of the real images, on one CPU
thread, in turn, so that whatever else the machine does hits them alike. "Ours, from files" reads
weights and images like the others; "ours, in a trial" is the part of it that an evaluation pays.
CPU seconds are this process's; torch-fidelity's reading processes come on top of its own.
Inception's weights are random: time and agreement do not depend on them.

    python -m benchmarks.metrics [--pairs 3] [--quick]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytorch_fid.fid_score
import pytorch_fid.inception
import scipy.linalg
import torch
import torch_fidelity
from PIL import Image
from torch import Tensor, nn

from trainable.data.sources import load
from trainable.metrics.frechet import FeatureStats, frechet_distance
from trainable.pretrained.extractors import Extractor, load_extractor
from trainable.pretrained.fid_inception import FIDInception

SINGLE = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
Times = dict[str, list[tuple[float, float]]]
"""For each contestant, (CPU, wall) seconds of each turn."""


@contextlib.contextmanager
def measured(times: Times, name: str):
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    spent = time.process_time() - cpu, time.perf_counter() - wall
    times.setdefault(name, []).append(spent)


def random_weights(path: Path) -> None:
    """Inception with random weights that keep activations at a scale of one."""
    torch.manual_seed(0)
    network = FIDInception()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, 0, 0.1)
    torch.save(network.state_dict(), path)


def read_folder(folder: Path) -> Tensor:
    files = sorted(folder.glob("*.png"))
    return torch.stack([torch.from_numpy(np.array(Image.open(f)))[None] for f in files])


def whole_calls(n: int, pairs: int, folder: Path) -> None:
    weights, generated, cache = folder / "inception.pth", folder / "generated", folder / "cache"
    random_weights(weights)
    real = torch.tensor(load("phantom", 64).images[:n])
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(0)) * 40
    generated.mkdir()
    for i, image in enumerate((real + noise).round().clamp(0, 255).to(torch.uint8)):
        Image.fromarray(image[0].numpy()).save(generated / f"{i:04d}.png")

    reference = FeatureStats.of(Extractor("inception", weights, unverified=True)(real))
    mu, sigma = reference.mean.numpy(), reference.covariance.numpy()
    np.savez(folder / "real.npz", mu=mu, sigma=sigma)
    cache.mkdir()
    held = {"mu": mu.astype(np.float32), "sigma": sigma}
    torch.save(held, cache / "real-inception-v3-compat-stat-fid-2048.pt")

    times: Times = {"ours, from files": [], "ours, in a trial": []}
    scores: dict[str, float] = {}

    def ours() -> float:
        with measured(times, "ours, from files"):
            extractor = Extractor("inception", weights, unverified=True)
            images = read_folder(generated)
            with measured(times, "ours, in a trial"):
                return frechet_distance(reference, extractor(images))

    def by_pytorch_fid() -> float:
        paths = [str(folder / "real.npz"), str(generated)]
        with measured(times, "pytorch-fid 0.3.0"):
            return pytorch_fid.fid_score.calculate_fid_given_paths(
                paths, batch_size=min(50, n), device="cpu", dims=2048, num_workers=0
            )

    def by_torch_fidelity() -> float:
        with measured(times, "torch-fidelity 0.4.0"):
            found = torch_fidelity.calculate_metrics(
                input1=str(generated), input2=str(generated), input2_cache_name="real",
                cache_root=str(cache), fid=True, cuda=False, verbose=False,
                feature_extractor_weights_path=str(weights),
            )  # fmt: skip
        return found["frechet_inception_distance"]

    turns: list[Callable[[], float]] = [ours, by_pytorch_fid, by_torch_fidelity]
    # pytorch-fid takes its weights from the network only; it still reads a file at every call.
    state = mock.patch.object(
        pytorch_fid.inception,
        "load_state_dict_from_url",
        side_effect=lambda *a, **k: torch.load(weights),
    )
    silence = mock.patch.object(pytorch_fid.fid_score, "tqdm", lambda loader: loader)
    with state, silence:
        for pair in range(pairs):
            for turn in turns[pair % 3 :] + turns[: pair % 3]:
                scores[turn.__name__] = turn()
    difference = abs(scores["ours"] / scores["by_pytorch_fid"] - 1)
    assert difference < 1e-5, scores

    print(f"\nFID of {n} generated 64-pixel images, cached reals, Inception; {pairs} turns each\n")
    table(times, "ours, from files", "ours, in a trial")
    print(
        f"\nScores: ours {scores['ours']:.6f}, pytorch-fid {scores['by_pytorch_fid']:.6f} "
        f"(relative difference {difference:.0e}); torch-fidelity resizes by another rule."
    )

    extractor, _ = load_extractor("efficientnet-lite0")
    lite = FeatureStats.of(extractor(real))
    images = read_folder(generated)
    small: Times = {}
    for _ in range(pairs):
        with measured(small, "lite0"):
            frechet_distance(lite, extractor(images))
    print(f"\nThe same with efficientnet-lite0, in a trial: {median(small['lite0'], 0):.2f} CPU s.")


def distances(pairs: int, d: int, n_real: int, n: int = 200) -> None:
    """The Fréchet distance alone, on rectified random mixtures of 256 factors."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(256, d)) / 16
    real, fake = (np.maximum(rng.normal(size=(k, 256)) @ mixing, 0) for k in (n_real, n))
    reference, features = FeatureStats.of(torch.tensor(real)), torch.tensor(fake).float()
    mu1, sigma1 = reference.mean.numpy(), reference.covariance.numpy()

    def moments() -> tuple[np.ndarray, float]:
        found = features.double().numpy()
        sigma2 = np.cov(found, rowvar=False)
        shift = mu1 - found.mean(0)
        return sigma1 @ sigma2, float(shift @ shift + sigma1.trace() + sigma2.trace())

    def by_sqrtm() -> float:
        product, rest = moments()
        return rest - 2 * float(scipy.linalg.sqrtm(product).trace().real)

    def by_eigenvalues() -> float:
        product, rest = moments()
        values = np.linalg.eigvals(product).astype(complex)
        return rest - 2 * float(np.sqrt(values).real.sum())

    turns = {
        "ours": lambda: frechet_distance(reference, features),
        "np.linalg.eigvals": by_eigenvalues,
        "scipy.linalg.sqrtm": by_sqrtm,
    }
    frechet_distance(reference, features)  # so that no turn pays for a library's start
    times: Times = {}
    scores: dict[str, float] = {}
    for _ in range(pairs):
        for name, turn in turns.items():
            with measured(times, name):
                scores[name] = turn()
    assert np.allclose(list(scores.values()), scores["ours"], rtol=1e-5), scores
    print(f"\nFréchet distance alone, {d} features, {n} generated against {n_real} cached reals\n")
    table(times, "ours")


def median(turns: list[tuple[float, float]], which: int) -> float:
    return statistics.median(turn[which] for turn in turns)


def table(times: Times, *bases: str) -> None:
    """Markdown: medians, and the median over the turns of each ratio to each of `bases`."""
    heads = [f"times {base}" for base in bases]
    print("| Call | CPU s | wall s |" + "".join(f" {head} |" for head in heads))
    print("|---" * (3 + len(heads)) + "|")
    for name, turns in times.items():
        cells = [f"{median(turns, which):.3g}" for which in (0, 1)]
        for base in bases:
            ratios = [a[0] / b[0] for a, b in zip(turns, times[base], strict=True)]
            cells.append(f"{statistics.median(ratios):.3g}")
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=3, help="turns of each (default: 3)")
    parser.add_argument("--quick", action="store_true", help="8 images, 512 features: does it run")
    args = parser.parse_args()
    if any(os.environ.get(k) != v for k, v in SINGLE.items()):
        # Libraries read these when they are imported, so it takes a new process to set them.
        command = [sys.executable, "-m", "benchmarks.metrics", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **SINGLE})
    torch.set_num_threads(1)
    load_average = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"torch {torch.__version__}, scipy {scipy.__version__}, one thread; load {load_average}")
    d, n_real = (512, 600) if args.quick else (2048, 2900)
    distances(args.pairs, d, n_real)
    with tempfile.TemporaryDirectory() as folder:
        whole_calls(8 if args.quick else 200, args.pairs, Path(folder))


if __name__ == "__main__":
    main()
