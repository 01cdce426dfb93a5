"""What `tests.helpers.forked` imports before it forks: all that commands and workers need but Ray.

Ray keeps what the environment says as it is imported: the job of a worker, and whom it ends with.
"""

import importlib
import sys

import torch

from tests.helpers.forked import QUICK

for _name in (
    "trainable.trial.trial", "trainable.trial.evaluation", "search.tracking.projection",
    "mlflow.store.tracking.sqlalchemy_store", "optuna.storages", "matplotlib.pyplot",
    "torch._dynamo",  # at the first step of an optimizer
):  # fmt: skip
    importlib.import_module(_name)
for _name, _value in QUICK.items():
    _module, _, _constant = _name.rpartition(".")
    setattr(importlib.import_module(_module), _constant, _value)
torch.set_num_threads(1)
assert "ray" not in sys.modules
