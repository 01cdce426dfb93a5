"""What tests share: toys, a Tune by hand, studies."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The project's own folder."""
