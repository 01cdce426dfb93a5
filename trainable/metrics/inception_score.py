"""The Inception score (Salimans et al. 2016), for comparison with the literature only.

On X-rays it hardly moves (1.6 to 1.9 with ImageNet classes) and rises with mild noise: a poor
objective, though ``--objective is`` allows it. The literature's ten splits lower it further at a
few hundred images: here it is one.
"""

from __future__ import annotations

import math

from torch import Tensor

from trainable.metrics.kernel import check_finite


def inception_score(logits: Tensor) -> float:
    """exp E KL(p(y|x) || p(y)) of a classifier's logits [n, classes].

    Returns:
        From 1, where all images get the same prediction, to the number of classes, where each is
        certain and the classes come equally often.

    Raises:
        ValueError: see `check_finite`.
    """
    log_p = check_finite(logits, least=1).log_softmax(1)
    log_mean = log_p.logsumexp(0) - math.log(len(log_p))
    return (log_p.exp() * (log_p - log_mean)).sum(1).mean().exp().item()
