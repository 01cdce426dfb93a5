"""What a space searches, learnt by drawing from it: ranges, conditions, mistakes, starting point.

A define-by-run space is a program, so its parameters can be known only by running it. Draws here
are a little wider than Optuna's: one number in five is an end of its range, so that a mistake at
an end is found before the search rather than in its third hour.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any, cast

from spaces.catalog import Params, Space
from spaces.errors import InputError
from spaces.recorder import Changed, Choice, Distribution, Interval, Recorder, show
from spaces.task import Task

DRAWS = 200
_AT_AN_END = 0.2  # share of drawn numbers that are an end of their range
_FEW = 12  # whole numbers: of more, two samples may miss each other by accident
_ABSENT = object()


@dataclass(frozen=True)
class Parameter:
    """One searched parameter.

    Attributes:
        name: its name in the study.
        distribution: what it is drawn from; prints itself.
        condition: when it is searched, such as "when optimizer is sgd"; empty means always.
    """

    name: str
    distribution: Distribution
    condition: str


def describe(space: Space, task: Task, draws: int = DRAWS, seed: int = 0) -> list[Parameter]:
    """Every parameter that `space` searches for `task`, in the order in which it asks.

    Raises:
        InputError: the space raises, returns no dict, or changes a parameter's range.
    """
    runs = [recorder for recorder, _ in _runs(space, task, draws, seed)]
    found = _distributions(space, runs)
    drawn = [recorder.params for recorder in runs]
    return [Parameter(name, found[name], _condition(name, found, drawn)) for name in found]


def validate(
    space: Space,
    task: Task,
    check: Callable[[Params], None],
    draws: int = DRAWS,
    seed: int = 0,
) -> None:
    """Call `check` on the parameters of many draws, and say which draw it refuses.

    Raises:
        InputError: `check` raised it, or the space has a fault that `describe` would name.
    """
    runs = []
    for recorder, params in _runs(space, task, draws, seed):
        runs.append(recorder)
        try:
            check(params)
        except InputError as error:
            raise InputError(f"{_where(space, recorder)}: {error}") from error
    _distributions(space, runs)


def space_snapshot(space: Space, task: Task, draws: int = DRAWS, seed: int = 0) -> dict[str, str]:
    """What `space` makes of `task`, one line for each searched value and each parameter returned.

    Two snapshots are equal exactly if the space still searches the same and still makes the same
    configurations of it, as far as `draws` draws can tell.
    """
    drawn = list(_runs(space, task, draws, seed))
    recorders = [recorder for recorder, _ in drawn]
    found = _distributions(space, recorders)
    lines = {f"searched {name}": str(distribution) for name, distribution in found.items()}
    for name in sorted({name for _, params in drawn for name in params}):
        values = [params.get(name) for _, params in drawn]
        as_drawn = [recorder.params.get(name) for recorder in recorders]
        if values == as_drawn:
            continue  # its line above says it all
        if all(value == values[0] for value in values):
            lines[name] = show(values[0])
        else:
            digest = hashlib.sha256(repr(values).encode()).hexdigest()
            lines[name] = f"computed ({digest[:8]})"
    return lines


def check_draw(space: Space, task: Task, values: Params) -> None:
    """Raise InputError unless `values` are searched values that the space can draw together.

    Not all need be given: the sampler draws the rest.
    """
    known = {parameter.name: parameter.distribution for parameter in describe(space, task)}
    for name, value in values.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
            raise InputError(f"{name} is not searched by the space {_name(space)}{hint}")
        if not known[name].contains(value):
            raise InputError(f"{name} is {value!r}, but the space searches {known[name]}")
    rng, asked = random.Random(0), set[str]()
    for draw in range(DRAWS):  # of what is left open
        recorder = Recorder(lambda name, found: values.get(name, found.draw(rng)))
        with suppress(InputError) if draw else nullcontext():  # a corner that the space refuses
            _run(space, task, recorder)
        asked |= recorder.params.keys()
        if asked >= values.keys():
            return
    unasked = [name for name in values if name not in asked]
    raise InputError(f"{', '.join(unasked)} cannot be combined with the other values")


def starting_point(space: Space, task: Task, preset: Params) -> Params | None:
    """The searched values under which `space` returns exactly `preset`; None if there are none.

    Each parameter is answered with the preset's value of that name. A parameter that the preset
    does not name therefore puts the preset outside the space.
    """

    def answer(name: str, distribution: Distribution) -> Any:
        if name not in preset or not distribution.contains(preset[name]):
            raise _OutsideError
        return preset[name]

    recorder = Recorder(answer)
    try:
        params = _run(space, task, recorder)
    except _OutsideError:
        return None
    return recorder.params if _same(params, preset) else None


class _OutsideError(BaseException):
    """The preset is no draw of the space. A BaseException, lest the space's own except catch it."""


def _runs(space: Space, task: Task, draws: int, seed: int) -> Iterator[tuple[Recorder, Params]]:
    rng = random.Random(seed)

    def answer(_: str, distribution: Distribution) -> Any:
        if isinstance(distribution, Interval) and rng.random() < _AT_AN_END:
            return rng.choice(distribution.ends())
        return distribution.draw(rng)

    for number in range(draws):
        recorder = Recorder(answer, number)
        yield recorder, _run(space, task, recorder)


def _run(space: Space, task: Task, recorder: Recorder) -> Params:
    try:
        params = space(cast("Any", recorder), task)
    except Changed as error:
        raise _changed(space, error) from error
    except (Exception, SystemExit) as error:  # a user's space may fail in any way
        fault = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        raise InputError(f"{_where(space, recorder)}: the space raised {fault}") from error
    if not isinstance(params, dict):
        kind = type(params).__name__
        raise InputError(
            f"{_where(space, recorder)}: the space returned a {kind}, but must return a dict of "
            "all parameters"
        )
    return params


def _distributions(space: Space, runs: list[Recorder]) -> dict[str, Distribution]:
    """Each parameter's one distribution; those of a branch stand where the branch is."""
    found: dict[str, Distribution] = {}
    order: list[str] = []
    for recorder in runs:
        place = 0
        for name, distribution in recorder.distributions.items():
            if found.setdefault(name, distribution) != distribution:
                raise _changed(space, Changed(name, found[name], distribution))
            if name not in order:
                order.insert(place, name)
            place = order.index(name) + 1
    return {name: found[name] for name in order}


def _changed(space: Space, error: Changed) -> InputError:
    return InputError(
        f"space {_name(space)}: {error.name} is drawn once from {error.first} and once from "
        f"{error.second}, but Optuna needs one range for each name; scale the drawn value, or give "
        "each branch its own name"
    )


def _where(space: Space, recorder: Recorder) -> str:
    drawn = ", ".join(f"{name}={show(value)}" for name, value in recorder.params.items())
    return f"space {_name(space)}, draw {recorder.number} ({drawn or 'nothing drawn yet'})"


def _name(space: Space) -> str:
    return getattr(space, "__name__", repr(space))


def _same(left: Params, right: Params) -> bool:
    """Equal but for None, which stands for an absent key, and for a float's last digits."""
    left, right = ({k: v for k, v in d.items() if v is not None} for d in (left, right))
    return left.keys() == right.keys() and all(
        math.isclose(left[name], right[name], rel_tol=1e-9)
        if isinstance(left[name], float) and isinstance(right[name], int | float)
        else left[name] == right[name]
        for name in left
    )


def _condition(name: str, found: dict[str, Distribution], draws: list[Params]) -> str:
    """The values of other parameters under which `name` was drawn, as a phrase."""
    shown = [draw for draw in draws if name in draw]
    hidden = [draw for draw in draws if name not in draw]
    if not hidden:
        return ""
    needed: dict[str, set[Any]] = {}
    phrases = []
    for other, distribution in found.items():
        if other == name or any(other not in draw for draw in shown):
            continue
        within = {draw[other] for draw in shown}
        without = {draw[other] for draw in hidden if other in draw}
        if not without - within:
            continue  # says nothing: each value was drawn with `name` as well
        if within.isdisjoint(without):
            if phrase := _phrase(other, distribution, within, without):
                return f"when {phrase}"
        elif isinstance(distribution, Choice):
            needed[other] = within
            phrases.append(_phrase(other, distribution, within, without - within))
    if not needed:
        return "sometimes"
    enough = not any(all(draw.get(o, _ABSENT) in needed[o] for o in needed) for draw in hidden)
    return f"{'' if enough else 'sometimes, '}when {' and '.join(phrases)}"


def _phrase(
    name: str, distribution: Distribution, within: set[Any], without: set[Any]
) -> str | None:
    """The words for "`name` has a value in `within`, none in `without`"; None if there are none."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in within | without):
        if min(within) > max(without):
            return f"{name} is above {show(max(without))}"
        if max(within) < min(without):
            return f"{name} is below {show(min(without))}"
    if isinstance(distribution, Choice):
        options = [option for option in distribution.options if option in within]
    elif distribution.whole and len(within | without) <= _FEW:
        options = sorted(within)
    else:
        return None  # two samples from a line are always disjoint; that is no condition
    return f"{name} is {' or '.join(show(option) for option in options)}"
