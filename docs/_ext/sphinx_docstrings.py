"""What the reference shows of docstrings that Sphinx would not by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from trainable.gan.config import TrialConfig


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if what not in ("attribute", "property"):
        return
    owner, _, last = name.rpartition(".")
    if owner.endswith(".TrialConfig") and what == "attribute":
        field = next(f for f in dataclasses.fields(TrialConfig) if f.name == last)
        lines += ["", ", ".join(_rule(field.metadata)) + "."]
    lines[:0] = ["..", ""]  # else napoleon takes what stands before a colon for the type


def _rule(metadata: Any) -> Iterator[str]:
    """A hyperparameter's range, and when it applies."""
    if options := metadata.get("options"):
        yield "One of " + ", ".join(f"``{option}``" for option in options)
    if parts := metadata.get("parts"):
        yield "Some of " + ", ".join(f"``{part}``" for part in parts)
    if bounds := metadata.get("bounds"):
        low, high, open_low, open_high = bounds
        start = f"Above {low:g}" if open_low else f"From {low:g}"
        yield f"{start} {'to below' if open_high else 'to'} {high:g}"
    if when := metadata.get("when"):
        yield f"if {when.text}"


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx, before napoleon reads them."""
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"parallel_read_safe": True}
