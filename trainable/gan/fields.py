"""How the fields of a `TrialConfig` are declared and checked: options, ranges, conditions."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from spaces.task import Params
from trainable.basics.wording import did_you_mean


@dataclass(frozen=True)
class When:
    """The condition, on another field, under which a field means anything; elsewhere it is None."""

    field: str
    text: str
    holds: Callable[[Any], bool]


def choice(*options: str, when: When | None = None) -> Any:
    """A field that holds one of `options`."""
    return field(metadata={"options": options, "when": when})


def number(
    low: float, high: float, *, open_low: bool = False, open_high: bool = False,
    when: When | None = None,
) -> Any:  # fmt: skip
    """A field that holds a number of an interval, closed unless said otherwise."""
    bounds = (low, high, open_low, open_high)
    return field(metadata={"bounds": bounds, "when": when})


def sum_of(*parts: str) -> Any:
    """A field that holds some of `parts` joined by '+', or 'none'."""
    return field(metadata={"parts": parts})


def one_of(name: str, *values: str) -> When:
    """Field `name` has one of `values`."""
    return When(name, f"{name} is {' or '.join(values)}", lambda value: value in values)


def not_one_of(name: str, *values: str) -> When:
    """Field `name` has none of `values`; it may mean nothing itself."""
    return When(name, f"{name} is not {' or '.join(values)}", lambda value: value not in values)


def applies(name: str, *values: str) -> When:
    """Field `name` means something, and has none of `values`."""
    text = f"{name} is not {' or '.join(values)}"
    return When(name, text, lambda value: value is not None and value not in values)


def above_zero(name: str) -> When:
    """Field `name` is a number above 0."""
    return When(name, f"{name} is above 0", lambda value: value is not None and value > 0)


def check(cls: type, params: Params) -> tuple[Params, list[str]]:
    """The values of `cls`'s fields as `params` gives them, and all faults found on the way.

    A field whose condition does not hold gets None. Whole numbers become floats where the field is
    one.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}
    faults = [_unknown(key, list(fields)) for key in params if key not in fields]
    values: Params = {}
    for name, spec in fields.items():  # a field stands after the one that governs it
        when: When | None = spec.metadata.get("when")
        value = params.get(name)
        if when is not None and when.field not in values:
            continue  # that one's fault has been named; this one cannot be judged
        if when is not None and not when.holds(values[when.field]):
            if value is not None:
                faults.append(f"{name} is {value!r}, but only applies when {when.text}")
            values[name] = None
        elif value is None:
            faults.append(f"{name} is missing" + (f" ({when.text})" if when else ""))
        elif fault := _fault(name, value, spec):
            faults.append(fault)
        else:
            values[name] = float(value) if type(value) is int and _kind(spec) == "float" else value
    return values, faults


def _unknown(key: str, known: list[str]) -> str:
    return f"{key} is not a hyperparameter{did_you_mean(key, known)}"


def _kind(spec: dataclasses.Field[Any]) -> str:
    return str(spec.type).removesuffix(" | None")


def _fault(name: str, value: Any, spec: dataclasses.Field[Any]) -> str | None:
    """What is wrong with a value, if anything."""
    kind = _kind(spec)
    if type(value).__name__ not in (kind, "int" if kind == "float" else kind):
        return f"{name} is {value!r}, but must be of type {kind}"
    if (options := spec.metadata.get("options")) and value not in options:
        return f"{name} is {value!r}, but must be one of {', '.join(options)}"
    if bounds := spec.metadata.get("bounds"):
        low, high, open_low, open_high = bounds
        above = value > low if open_low else value >= low
        below = value < high if open_high else value <= high
        if not (above and below):  # NaN is neither
            interval = f"{'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}"
            return f"{name} is {value}, but must be in {interval}"
    if (parts := spec.metadata.get("parts")) and value != "none":
        chosen = value.split("+")
        if len(set(chosen)) != len(chosen) or not set(chosen) <= set(parts):
            rule = f"none, or some of {', '.join(parts)} joined by '+', each once"
            return f"{name} is {value!r}, but must be {rule}"
    return None


def parsed(cls: type, texts: dict[str, str]) -> Params:
    """Values of `cls`'s fields from their texts, as `str` makes them; other keys are kept."""
    kinds = {f.name: _kind(f) for f in dataclasses.fields(cls)}
    readers: dict[str, Callable[[str], Any]] = {"int": int, "float": float}
    return {k: readers.get(kinds.get(k, "str"), str)(v) for k, v in texts.items()}


def meanings(cls: type) -> dict[str, str]:
    """What each field of `cls` is, by its name: the text below it, which Python itself forgets."""
    (defined,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(defined, ast.ClassDef)
    return {
        field.target.id: " ".join(str(text.value.value).split())
        for field, text in itertools.pairwise(defined.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }  # fmt: skip
