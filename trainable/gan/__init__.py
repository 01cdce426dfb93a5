"""One cGAN: its configuration, networks, losses and training loop."""
