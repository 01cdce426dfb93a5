"""The pretrained networks of a study or a run: one that scores, and one that helps to train."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from trainable.pretrained.backbones import Backbone, load_backbone, scored_protocol
from trainable.pretrained.extractors import Extractor, load_extractor
from trainable.pretrained.protocol import resize_rule


@dataclass(frozen=True)
class FrozenNetworks:
    """Which networks look at images, and what a score is called.

    Attributes:
        extractor: the network that FID is computed on.
        backbone: the one that a discriminator stands on, or None.
        protocol: the extractor's, marked if the backbone is the same network.
        said: one line that says which extractor was taken, and why.
    """

    extractor: Extractor
    backbone: Backbone | None
    protocol: str
    said: str


def load_frozen_networks(
    features: str, resize: str, backbone: str, args: argparse.Namespace, *, shared: bool
) -> FrozenNetworks:
    """Both networks, their weights from the files that the flags in `args` name, if they do.

    Args:
        features, backbone: their names, as of ``--features`` and ``--backbone``.
        resize: the resize rule, or a protocol that has it.
        args: has `features_weights`, `backbone_weights` and `unverified_weights`.
        shared: whether both may be the same network.

    Raises:
        InputError: a name is unknown, weights cannot be had, or both are one and may not be.
    """
    # Any checksum will do for the files that are named; the flag may be meant for the backbone.
    lone = args.backbone_weights and not args.features_weights
    extractor, said = load_extractor(
        features,
        args.features_weights,
        resize=resize_rule(resize),
        unverified=args.unverified_weights and not lone,
    )
    found = load_backbone(backbone, args.backbone_weights, unverified=args.unverified_weights)
    return FrozenNetworks(extractor, found, scored_protocol(extractor, found, shared=shared), said)
