"""What may be searched: presets, and one define-by-run function a space."""

from cgan_search import check

check()

from spaces.catalog import get_space  # noqa: E402
from spaces.errors import InputError  # noqa: E402
from spaces.task import Task  # noqa: E402

__all__ = ["InputError", "Task", "get_space"]
