"""The artificial chest films in three colours, as a folder: a small set of colour images, K = 3.

    python -m benchmarks.colour --out colour
    python -m trainable --data colour --backbone efficientnet-lite1 --train-time 10m

Class ``amber`` are pneumonia phantoms, ``blue`` normal ones, ``violet`` normal ones upside down;
within a class hue and saturation vary from image to image.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from trainable.data.sources import load

HUES = {"amber": (1.0, 0.75, 0.3), "blue": (0.35, 0.65, 1.0), "violet": (0.85, 0.45, 1.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--image-size", type=int, default=64)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    first, other = (load("phantom", options.image_size, seed=seed) for seed in (0, 1))
    well = list(first.classes).index("normal")
    films = {
        "amber": first.images[first.labels != well],
        "blue": first.images[first.labels == well],
        "violet": other.images[other.labels == well][:, :, ::-1],
    }
    for name, hue in HUES.items():
        (options.out / name).mkdir(parents=True, exist_ok=True)
        for i, film in enumerate(films[name]):
            tint = 1 - rng.uniform(0.6, 1.0) * (1 - np.array(hue) * rng.uniform(0.9, 1.0, 3))
            pixels = (film[0][..., None] * tint).round().astype(np.uint8)
            Image.fromarray(pixels).save(options.out / name / f"{i:03d}.png")


if __name__ == "__main__":
    main()
