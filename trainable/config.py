"""One trial's hyperparameters: `TrialConfig`, frozen, checked field by field, without defaults."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from spaces.errors import InputError
from spaces.task import Task

ACTIVATIONS = ("relu", "leaky_relu", "elu", "silu", "gelu", "tanh")
AUGMENTATIONS = ("translation", "brightness", "contrast", "cutout")


@dataclass(frozen=True)
class _When:
    """The condition, on another field, under which a field means anything; elsewhere it is None."""

    field: str
    text: str
    holds: Callable[[Any], bool]


def _choice(*options: str, when: _When | None = None) -> Any:
    return field(metadata={"options": options, "when": when})


def _number(
    low: float, high: float, *, open_low: bool = False, open_high: bool = False,
    when: _When | None = None,
) -> Any:  # fmt: skip
    bounds = (low, high, open_low, open_high)
    return field(metadata={"bounds": bounds, "when": when})


def _flag() -> Any:
    return field(metadata={})


def _sum_of(*parts: str) -> Any:
    return field(metadata={"parts": parts})


def _one_of(name: str, *values: str) -> _When:
    return _When(name, f"{name} is {' or '.join(values)}", lambda value: value in values)


_NOISY = _When("instance_noise", "instance_noise is above 0", lambda value: value > 0)


@dataclass(frozen=True)
class TrialConfig:
    """Everything that distinguishes one cGAN run from another on the same data with the same seed.

    Build it with `from_params`, which checks every key and value. A field that means nothing under
    the others (``beta1`` under SGD) is None. Lengths of training are counted in kimg, thousands of
    real images shown, so that they mean the same at every batch size.
    """

    activation: str = _choice(*ACTIVATIONS)
    """Activation of the hidden layers of both networks."""
    leaky_slope: float | None = _number(0, 1, when=_one_of("activation", "leaky_relu"))
    """Slope of leaky ReLU for negative inputs."""
    output_activation: str = _choice("tanh", "sigmoid")
    """Last activation of the generator; images are scaled to its range."""
    init: str = _choice("he", "normal")
    """Initial weights: He's fan-in rule, or N(0, 0.02) as in DCGAN."""
    upsampling: str = _choice("nearest", "transposed")
    """How the generator doubles its grid: nearest neighbour and 3x3, or a transposed 4x4."""
    depth: int = _number(1, 7)
    """Doublings in G, halvings in D; the generator's first grid has a side of size / 2^depth."""
    g_width: int = _number(2, 512)
    """Channels of the generator's finest layer; doubled at each coarser one, up to 8 times."""
    d_width: int = _number(2, 512)
    """Channels of the discriminator's finest layer; doubled likewise."""
    latent_size: int = _number(1, 1024)
    """Length of z ~ N(0, I)."""
    conditioning: str = _choice("concat", "projection")
    """How the discriminator uses the one-hot class: extra input planes, or a projection head."""
    spectral_norm: bool = _flag()
    """Divide each discriminator weight by its largest singular value (Miyato et al. 2018)."""
    loss: str = _choice("minimax", "non_saturating", "hinge")
    """Adversarial loss, see `trainable.losses`."""
    optimizer: str = _choice("sgd", "rmsprop", "adam", "adamw")
    """Optimizer of both networks."""
    momentum: float | None = _number(
        0, 1, open_high=True, when=_one_of("optimizer", "sgd", "rmsprop")
    )
    """Momentum of SGD or RMSprop."""
    beta1: float | None = _number(0, 1, open_high=True, when=_one_of("optimizer", "adam", "adamw"))
    """Decay of Adam's running mean of gradients."""
    beta2: float | None = _number(
        0, 1, open_high=True, when=_one_of("optimizer", "rmsprop", "adam", "adamw")
    )
    """Decay of the running mean of squared gradients (RMSprop calls it alpha)."""
    g_lr: float = _number(0, 1, open_low=True)
    """Learning rate of the generator after warm-up."""
    d_lr: float = _number(0, 1, open_low=True)
    """Learning rate of the discriminator after warm-up."""
    l2: float = _number(0, 1)
    """Weight decay: added to the gradient (L2 penalty), or decoupled under AdamW."""
    warmup_kimg: float = _number(0, 1000)
    """Images over which both learning rates rise linearly from 0."""
    batch_size: int = _number(1, 4096)
    """Real images, and as many generated ones, in a step."""
    d_steps: int = _number(1, 10)
    """Discriminator updates for each generator update (k of Goodfellow et al. 2014)."""
    instance_noise: float = _number(0, 2)
    """Standard deviation of Gaussian noise on all that D sees, on a [-1, 1] scale."""
    instance_noise_halflife_kimg: float | None = _number(0, 1e6, open_low=True, when=_NOISY)
    """Images after which the instance noise has halved."""
    augment: str = _sum_of(*AUGMENTATIONS)
    """Augmentations of what the discriminator sees, joined by '+', or 'none'."""
    ema_halflife_kimg: float = _number(0, 1000)
    """Half-life of the running mean of generator weights that is scored; 0 means no mean."""

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> TrialConfig:
        """Check `params` key by key and build the configuration.

        Raises:
            InputError: a key is unknown or missing, does not apply under the others, or its value
                has the wrong type or lies outside the field's range. All faults are named at once.
        """
        fields = {f.name: f for f in dataclasses.fields(cls)}
        faults = [_unknown(key, list(fields)) for key in params if key not in fields]
        values: dict[str, Any] = {}
        for name, spec in fields.items():  # a field stands after the one that governs it
            when: _When | None = spec.metadata.get("when")
            value = params.get(name)
            if when is not None and when.field not in values:
                continue  # that one's fault has been named; this one cannot be judged
            if when is not None and not when.holds(values[when.field]):
                if value is not None:
                    faults.append(f"{name} is {value!r}, but means something only when {when.text}")
                values[name] = None
            elif value is None:
                faults.append(f"{name} is missing" + (f" ({when.text})" if when else ""))
            elif fault := _fault(name, value, spec):
                faults.append(fault)
            else:
                values[name] = (
                    float(value) if type(value) is int and _kind(spec) == "float" else value
                )
        if faults:
            raise InputError("; ".join(faults))
        return cls(**values)

    def to_params(self) -> dict[str, Any]:
        """The inverse of `from_params`: JSON-ready, without the fields that do not apply."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v is not None}

    @property
    def augmentations(self) -> tuple[str, ...]:
        """The parts of `augment`, in the order in which they are applied."""
        return () if self.augment == "none" else tuple(self.augment.split("+"))

    def check_task(self, task: Task) -> None:
        """Raise InputError if these networks cannot be built for, or trained on, `task`."""
        if self.depth > task.max_depth:
            raise InputError(
                f"depth is {self.depth}, but {task.image_size}-pixel images can be halved at most "
                f"{task.max_depth} times; lower depth or raise --image-size"
            )
        if self.batch_size > task.images:
            raise InputError(
                f"batch_size is {self.batch_size}, but there are {task.images} training images; "
                "lower batch_size or add images"
            )


def _unknown(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"{key} is no hyperparameter" + (f"; did you mean {close[0]}?" if close else "")


def _kind(spec: dataclasses.Field[Any]) -> str:
    return str(spec.type).removesuffix(" | None")


def _fault(name: str, value: Any, spec: dataclasses.Field[Any]) -> str | None:
    """What is wrong with a value, if anything."""
    kind = _kind(spec)
    if type(value).__name__ not in (kind, "int" if kind == "float" else kind):
        return f"{name} is {value!r}, but must be of type {kind}"
    if (options := spec.metadata.get("options")) and value not in options:
        return f"{name} is {value!r}, but must be one of {', '.join(options)}"
    if bounds := spec.metadata.get("bounds"):
        low, high, open_low, open_high = bounds
        above = value > low if open_low else value >= low
        below = value < high if open_high else value <= high
        if not (above and below):  # NaN is neither
            interval = f"{'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}"
            return f"{name} is {value}, but must lie in {interval}"
    if (parts := spec.metadata.get("parts")) and value != "none":
        chosen = value.split("+")
        if len(set(chosen)) != len(chosen) or not set(chosen) <= set(parts):
            rule = f"none, or some of {', '.join(parts)} joined by '+', each once"
            return f"{name} is {value!r}, but must be {rule}"
    return None
