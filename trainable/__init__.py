"""One conditional GAN run: configuration, data, networks, training, metrics, Ray trainable."""
