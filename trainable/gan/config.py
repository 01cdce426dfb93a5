"""One trial's hyperparameters: `TrialConfig`, frozen, checked field by field, without defaults."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from spaces.errors import InputError
from spaces.task import Params, Task
from trainable.gan.fields import (
    above_zero,
    applies,
    check,
    choice,
    not_one_of,
    number,
    one_of,
    sum_of,
)

ACTIVATIONS = ("relu", "leaky_relu", "elu", "silu", "gelu", "tanh")
AUGMENTATIONS = ("translation", "zoom", "flip", "brightness", "contrast", "cutout")
BACKBONES = (
    "none", "googlenet", "inception_v3", "densenet121", "vgg16",
    "efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2", "xrv-densenet121",
)  # fmt: skip

_LEAST_SIZE = {"inception_v3": 75}

_BACKED = applies("backbone", "none")
_OWN_D = not_one_of("backbone_role", "only")
_PENALISED = applies("penalty", "none")
_ADAMS = one_of("optimizer", "adam", "adamw")
_AUXILIARY = one_of("backbone_role", "auxiliary")


def least_size(backbone: str) -> int:
    """Side of the smallest image that a backbone can take."""
    return _LEAST_SIZE.get(backbone, 32)


@dataclass(frozen=True)
class TrialConfig:
    """Everything that distinguishes one cGAN run from another on the same data with the same seed.

    Build it with `from_params`, which checks every key and value. A field that means nothing under
    the others (``beta1`` under SGD) is None. Lengths of training are counted in kimg, thousands of
    real images shown, so that they mean the same at every batch size.
    """

    activation: str = choice(*ACTIVATIONS)
    """Activation of the hidden layers of both networks."""
    leaky_slope: float | None = number(0, 1, when=one_of("activation", "leaky_relu"))
    """Slope of leaky ReLU for negative inputs."""
    output_activation: str = choice("tanh", "sigmoid")
    """Last activation of the generator; images are scaled to its range."""
    init: str = choice("he", "normal", "orthogonal")
    """Initial weights: He's fan-in rule, N(0, 0.02) as in DCGAN, or orthogonal rows."""
    latent_size: int = number(1, 1024)
    """Length of z ~ N(0, I)."""
    upsampling: str = choice("nearest", "bilinear", "transposed", "pixel_shuffle")
    """How the generator doubles its grid: nearest or bilinear and 3x3, a transposed 4x4, or a 3x3
    to four times the channels, shuffled into place."""
    g_depth: int = number(1, 7)
    """Doublings in G; its first grid has a side of size / 2^g_depth."""
    g_width: int = number(2, 512)
    """Channels of the generator's finest layer; doubled at each coarser one, up to 8 times."""
    g_residuals: int = number(0, 4)
    """Residual blocks of two 3x3 convolutions on the generator's first grid."""
    g_norm: str = choice("batch", "class_batch", "none")
    """Normalisation in G: batch norm, batch norm with a gain and shift for each class, or none."""
    backbone: str = choice(*BACKBONES)
    """Frozen pretrained network on whose features a further discriminator stands, or none."""
    backbone_role: str | None = choice("auxiliary", "only", when=_BACKED)
    """Whether it helps a discriminator on pixels, or replaces it."""
    backbone_interval: int | None = number(1, 64, when=_AUXILIARY)
    """It takes part in every step whose number this divides."""
    backbone_weight: float | None = number(0, 100, open_low=True, when=_AUXILIARY)
    """Weight of its part of the generator's loss in those steps."""
    backbone_size: int | None = number(32, 512, when=_BACKED)
    """Side in pixels to which images are resized for it."""
    backbone_projection: str | None = choice("random", "learned", when=_BACKED)
    """How its features' channels are mixed: fixed at random (Sauer et al. 2021), or learned."""
    backbone_channels: int | None = number(1, 512, when=_BACKED)
    """Channels that its features are mixed to at each scale."""
    backbone_width: int | None = number(1, 512, when=_BACKED)
    """Channels of the small network on each scale."""
    backbone_lr: float | None = number(0, 1, open_low=True, when=_BACKED)
    """Learning rate of those networks, by Adam with beta1 0 and beta2 0.99."""
    d_depth: int | None = number(1, 7, when=_OWN_D)
    """Halvings in D; its last grid has a side of size / 2^d_depth."""
    d_width: int | None = number(2, 512, when=_OWN_D)
    """Channels of the discriminator's finest layer; doubled at each coarser one, up to 8 times."""
    d_residuals: int | None = number(0, 4, when=_OWN_D)
    """Residual blocks of two 3x3 convolutions on the discriminator's last grid."""
    d_norm: str | None = choice("none", "spectral", "batch", when=_OWN_D)
    """Normalisation in D: none, each weight by its largest singular value (Miyato et al. 2018), or
    batch norm, over real and generated images apart."""
    d_conditioning: str | None = choice("concat", "projection", when=_OWN_D)
    """How the discriminator uses the one-hot class: extra input planes, or a projection head."""
    loss: str | None = choice("minimax", "non_saturating", "hinge", "relativistic", when=_OWN_D)
    """Adversarial loss of the discriminator on pixels, see `trainable.gan.losses`; the one on a
    backbone has the hinge loss."""
    penalty: str | None = choice("none", "r1", "r1+r2", when=_OWN_D)
    """Gradient penalty on D: on real images (R1), or on generated ones too (R2)."""
    penalty_weight: float | None = number(0, 1000, open_low=True, when=_PENALISED)
    """Gamma of Mescheder et al. 2018: the loss gains gamma / 2 times the squared gradient norm."""
    penalty_interval: int | None = number(1, 64, when=_PENALISED)
    """It is computed in every step whose number this divides, and weighs as many times more."""
    optimizer: str = choice("sgd", "rmsprop", "adam", "adamw")
    """Optimizer of both networks."""
    momentum: float | None = number(
        0, 1, open_high=True, when=one_of("optimizer", "sgd", "rmsprop")
    )
    """Momentum of SGD or RMSprop."""
    beta1: float | None = number(0, 1, open_high=True, when=_ADAMS)
    """Decay of Adam's running mean of gradients."""
    beta2: float | None = number(
        0, 1, open_high=True, when=one_of("optimizer", "rmsprop", "adam", "adamw")
    )
    """Decay of the running mean of squared gradients (RMSprop calls it alpha)."""
    g_lr: float = number(0, 1, open_low=True)
    """Learning rate of the generator after warm-up."""
    lr_ratio: float | None = number(0, 100, open_low=True, when=_OWN_D)
    """The discriminator's learning rate, in multiples of the generator's."""
    warmup_kimg: float = number(0, 1000)
    """Images over which the learning rates rise linearly from 0."""
    lr_halflife_kimg: float = number(0, 1e6)
    """Images in which the learning rates halve; 0 keeps them."""
    l2: float = number(0, 1)
    """Weight decay: added to the gradient (L2 penalty), or decoupled under AdamW."""
    batch_size: int = number(1, 4096)
    """Real images, and as many generated ones, in a step."""
    d_steps: int = number(1, 10)
    """Discriminator updates for each generator update (k of Goodfellow et al. 2014)."""
    instance_noise: float = number(0, 2)
    """Standard deviation of Gaussian noise on all that D sees, on a [-1, 1] scale. A backbone,
    which was trained on clean images, is spared it."""
    instance_noise_halflife_kimg: float | None = number(
        0, 1e6, open_low=True, when=above_zero("instance_noise")
    )
    """Images after which the instance noise has halved."""
    augment: str = sum_of(*AUGMENTATIONS)
    """Augmentations of what the discriminators see, joined by '+', or 'none'."""
    augment_control: str | None = choice("fixed", "adaptive", when=applies("augment", "none"))
    """Whether each part comes with a fixed probability, or with one that follows D's overfitting
    (Karras et al. 2020)."""
    augment_probability: float | None = number(
        0, 1, open_low=True, when=one_of("augment_control", "fixed")
    )
    """The fixed probability."""
    augment_target: float | None = number(-1, 1, when=one_of("augment_control", "adaptive"))
    """What the mean sign of D's logits for real images is kept at; above it the parts come more
    often."""
    ema_halflife_kimg: float = number(0, 1000)
    """Half-life of the running mean of generator weights that is scored; 0 means no mean."""
    ema_rampup: float | None = number(0, 1, open_low=True, when=above_zero("ema_halflife_kimg"))
    """The half-life is at most this share of the images seen, so that the first noise is
    forgotten."""

    @classmethod
    def from_params(cls, params: Params) -> TrialConfig:
        """Check `params` key by key and build the configuration.

        Raises:
            InputError: a key is unknown or missing, does not apply under the others, or its value
                has the wrong type or lies outside the field's range. All faults are named at once.
        """
        values, faults = check(cls, params)
        if not faults:
            config = cls(**values)
            faults = config._contradictions()
            if not faults:
                return config
        raise InputError("; ".join(faults))

    def to_params(self) -> Params:
        """The inverse of `from_params`: JSON-ready, without the fields that do not apply."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v is not None}

    @property
    def augmentations(self) -> tuple[str, ...]:
        """The parts of `augment`, in the order in which they are applied."""
        return () if self.augment == "none" else tuple(self.augment.split("+"))

    @property
    def output_range(self) -> tuple[float, float]:
        """Least value and span of the images that G makes and D sees."""
        return (-1.0, 2.0) if self.output_activation == "tanh" else (0.0, 1.0)

    def _contradictions(self) -> list[str]:
        """Values that are each allowed, but not together."""
        faults = []
        least = least_size(self.backbone)
        if self.backbone_size is not None and self.backbone_size < least:
            faults.append(
                f"backbone_size is {self.backbone_size}, but {self.backbone} needs images of at "
                f"least {least} pixels"
            )
        if self.d_norm == "batch" and self.penalty != "none":
            faults.append(
                f"penalty is {self.penalty}, but with d_norm batch each logit depends on the "
                "whole batch, so a gradient per image is meaningless; set penalty to none, or "
                "d_norm to none or spectral"
            )
        if self.loss == "relativistic" and self.augment_control == "adaptive":
            faults.append(
                "augment_control is adaptive, which follows the sign of logits, but that has no "
                "meaning under loss relativistic; set it to fixed"
            )
        if self.backbone_role == "only":
            if self.augment_control == "adaptive":
                faults.append(
                    "augment_control is adaptive, which follows a discriminator on pixels, but "
                    "backbone_role only has none; set it to fixed"
                )
            if self.instance_noise:
                faults.append(
                    f"instance_noise is {self.instance_noise}, which is for a discriminator on "
                    "pixels, but backbone_role only has none; set it to 0"
                )
        return faults

    def check_task(self, task: Task) -> None:
        """Raise InputError if these networks cannot be built for, or trained on, `task`."""
        for name, depth in (("g_depth", self.g_depth), ("d_depth", self.d_depth)):
            if depth is not None and depth > task.max_depth:
                raise InputError(
                    f"{name} is {depth}, but {task.image_size}-pixel images can be halved at most "
                    f"{task.max_depth} times; lower {name} or raise --image-size"
                )
        if self.batch_size > task.images:
            raise InputError(
                f"batch_size is {self.batch_size}, but there are {task.images} training images; "
                "lower batch_size or add images"
            )
        if self.backbone not in ("none", task.backbone):
            raise InputError(
                f"backbone is {self.backbone}, but the loaded weights are "
                f"{'none' if task.backbone == 'none' else 'of ' + task.backbone}; give "
                f"--backbone {self.backbone}"
            )
