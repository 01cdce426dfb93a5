"""The champion as MLflow serves it: a class and a seed in, an image out.

MLflow copies this file into the model and runs it wherever the model is loaded, so it imports
nothing of this project, and nothing of it is pickled.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class Champion(PythonModel):
    """A generator exported by `torch.export`, on the CPU."""

    def load_context(self, context):
        """Read the generator and what its classes are called."""
        config = json.loads(Path(context.artifacts["config"]).read_text())
        self.classes = config["classes"]
        self.latent_size = config["latent_size"]
        self.shape = (config["task"]["channels"], *2 * (config["task"]["image_size"],))
        self.generator = torch.export.load(context.artifacts["generator"]).module()

    def predict(self, context, model_input: pd.DataFrame, params=None) -> np.ndarray:  # pyright: ignore
        """Images uint8, [n, H, W] if grey or [n, H, W, 3], for columns ``class`` and ``seed``.

        One by one, as convolutions round differently in batches of other sizes: an image depends
        on its own class and seed alone.

        Raises:
            ValueError: a class is unknown.
        """
        unknown = sorted({str(c) for c in model_input["class"] if c not in self.classes})
        if unknown:
            raise ValueError(
                f"unknown class {', '.join(unknown)}; known are {', '.join(self.classes)}"
            )
        images = np.empty((len(model_input), *self.shape), np.uint8)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # at one image, threads waiting for each other cost up to 50x
        try:
            for i, (name, seed) in enumerate(
                zip(model_input["class"], model_input["seed"], strict=True)
            ):
                images[i] = self._image(self.classes.index(name), int(seed))
        finally:
            torch.set_num_threads(threads)
        return images[:, 0] if self.shape[0] == 1 else images.transpose(0, 2, 3, 1)

    @torch.inference_mode()
    def _image(self, index: int, seed: int) -> np.ndarray:
        rng = torch.Generator().manual_seed(seed)
        z = torch.randn(1, self.latent_size, generator=rng)
        y = torch.zeros(1, len(self.classes))
        y[0, index] = 1
        return self.generator(z, y)[0].numpy()


set_model(Champion())
