"""The site that `make docs` builds: docs/, the docstrings, and the commands' own parsers."""

import sys
from pathlib import Path

_DOCS = Path(__file__).parent
sys.path[:0] = [str(_DOCS.parent), str(_DOCS / "_ext")]

project = "cgan-search"
copyright = "the cgan-search authors; Apache-2.0"  # noqa: A001 - Sphinx's own name
html_title = project
html_theme = "furo"  # no fonts, scripts or trackers from elsewhere
extensions = [
    "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon",
    "sphinx_commands", "sphinx_docstrings",
]  # fmt: skip
exclude_patterns = ["_build"]
myst_heading_anchors = 4  # as GitHub makes them
smartquotes = False  # two dashes begin a flag
default_role = "code"  # docstrings write `name`, as Markdown does
napoleon_use_ivar = True
nitpick_ignore_regex = [  # types of other projects and of no interest here
    ("py:.*", r"(collections|matplotlib|numpy|optuna|os|pandas|pathlib|pd|torch)\..*"),
    ("py:.*", r"Figure|Params|Tensor|Word|.*\.StudyFolder|.*\.ImageGenerator"),
]
