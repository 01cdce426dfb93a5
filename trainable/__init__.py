"""One conditional GAN run: configuration, data, networks, training, metrics, Ray trainable."""

from cgan_search import check

check()
