"""A first search from a script: `python examples/first_search.py`, some minutes on two cores.

Artificial chest films are searched at 32 pixels, and the best generator draws a few more. Put your
own folder of class folders in place of "phantom".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from search import Search

WORDS = {
    "data": "phantom", "image_size": 32, "trials": 8, "epochs": 48, "eval_every": 16, "grace": 16,
    "features": "efficientnet-lite0", "top_k": 2, "winner_images": 200,
}  # fmt: skip


def main(out: Path = Path("first_search"), **words: str | int) -> None:
    """Search, and write figures and generated images to the folder `out`; `words` replace `WORDS`
    and add to them."""
    result = Search(**{**WORDS, **words}).run()
    columns = ["rank", "trial", "status", "fid", "train_seconds"]
    print(result.leaderboard[columns].to_string(index=False))
    best = result.best
    print(f"best: trial {best.trial}, {'a winner' if best.wins else 'but it fails a gate'}")
    out.mkdir(exist_ok=True)
    for name in ("fid-vs-time", "learning-curves"):
        result.figure(name).savefig(out / f"{name}.png")
    for label in best.generator.classes:
        images = best.generator.sample(8, label)
        Image.fromarray(np.hstack(list(images))).save(out / f"{label}.png")


if __name__ == "__main__":
    main()
