"""How long the trials of `benchmarks.proof` take for an image, against their default.

    python -m benchmarks.paces --data FOLDER [LINES ...]

Writes ``pace`` into each trial of the lines that has none: CPU seconds of training for an image,
over the default's, which trains in turn with it, each on one thread. The lower of two goes counts
on both sides. A configuration that does not train gets none.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.prior import HERE, LINES, PROOF, TASK, told
from spaces.presets import BACKBONE, default
from spaces.task import Params
from trainable.basics.files import write_whole
from trainable.data.sources import load
from trainable.gan.config import TrialConfig
from trainable.gan.run import DivergedError, Run
from trainable.pretrained.backbones import load_backbone

WARM = 16
IMAGES = 384
"""Of one go of the default."""


class Stand:
    """Where configurations are timed against the default."""

    def __init__(self, folder: str):
        self.data = load(folder, TASK.image_size)
        self.backbone = load_backbone(BACKBONE)
        self.usual = self.run(default(TASK))

    def run(self, values: Params) -> Run:
        """Training under way."""
        backbone = self.backbone if values["backbone"] == BACKBONE else None
        config = TrialConfig.from_params(values)
        run = Run(config, self.data, seed=1, device="cpu", backbone=backbone)
        for _ in range(WARM):
            run.train_step()
        return run

    def pace(self, values: Params) -> float | None:
        """Of effective values; None where they do not train."""
        whole = values["batch_size"] * values.get("backbone_interval", 1)  # all that recurs
        try:
            run = self.run(values)
            goes = [(cpu(self.usual, IMAGES), cpu(run, max(128, 2 * whole))) for _ in range(2)]
        except DivergedError:
            return None
        usual, own = (min(side) for side in zip(*goes, strict=True))
        return round(own / usual, 3)


def cpu(run: Run, images: int) -> float:
    """CPU seconds an image."""
    began, seen = time.process_time(), run.images_seen
    while run.images_seen < seen + images:
        run.train_step()
    return (time.process_time() - began) / (run.images_seen - seen)


def lacking(
    lines: list[dict[str, Any]], differs: Params
) -> Iterator[tuple[dict[str, Any], Params]]:
    """Trials without a pace, and their effective values."""
    for line in lines:
        for trial in line["trials"]:
            if "pace" not in trial:
                yield trial, told(trial, default(TASK) | differs)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("lines", nargs="*", default=[*LINES, *PROOF], help="files beside this one")
    parser.add_argument("--data", required=True, help="a folder of labelled images, or phantom")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    stand = Stand(args.data)
    for name in args.lines:
        file = HERE / name
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for trial, values in lacking(lines, LINES.get(name, {})):
            trial["pace"] = stand.pace(values)
            print(name, trial["pace"], trial["changed"], flush=True)
            write_whole(file, "".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
