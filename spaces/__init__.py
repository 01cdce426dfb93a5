"""What may be searched: presets, and one define-by-run function a space."""

from spaces.catalog import get_space
from spaces.errors import InputError
from spaces.task import Task

__all__ = ["InputError", "Task", "get_space"]
