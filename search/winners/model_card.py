"""A champion's card: what it is, how good, made from what, and what it is not for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from search.study.gates import GATES
from trainable.basics.markdown import escaped
from trainable.generators.export import CONFIG
from trainable.generators.weights_file import GeneratorRecord
from trainable.tracking.names import FRESH_IMAGES, gate_limit

_INTERVALS = {"fresh_fid": "FID", "fresh_kid": "KID", "fresh_cas": "CAS"}

_OF_PATIENTS = (
    "Its images are synthetic: they show no patient, and what they show need not be anatomically "
    "or medically right. **Not for diagnosis**, nor for teaching it. "
)


def card_of(exported: Path) -> str:
    """The card of a generator that `export_generator` wrote."""
    return card(json.loads((exported / CONFIG).read_text()))


def card(about: GeneratorRecord) -> str:
    """Markdown, from what is kept beside an exported generator (``config.json``)."""
    scores, settings, task = about["scores"], about["settings"], about["task"]
    colours = "grey" if task["channels"] == 1 else "colour"
    size = task["image_size"]
    lines = [
        f"# Generator of study {escaped(about['study'])}, trial {about['trial']}",
        "",
        f"Draws {colours} images of {size} x {size} pixels of the classes "
        f"{', '.join(map(escaped, about['classes']))}, each from a class and a seed. A "
        f"class-conditional GAN, trained on {task['images']} images "
        f"({escaped(settings.get('data', 'unknown'))}, digest "
        f"{str(settings.get('data_digest', 'unknown'))[:12]}).",
        "",
        "## Scores",
        f"By {settings.get('protocol', 'an unknown network')}, on fresh latents that the search "
        "never used; means and 95 % intervals over samples of an evaluation's size, of CAS, the "
        "classification accuracy score, over classifiers.",
        "",
        "| score | mean | 95 % |",
        "|---|---|---|",
    ]
    for key, name in _INTERVALS.items():
        if f"{key}_mean" in scores:
            low, high = scores[f"{key}_low"], scores[f"{key}_high"]
            lines.append(f"| {name} | {scores[f'{key}_mean']:.4g} | {low:.4g} to {high:.4g} |")
    if "fid_over_floor" in scores:
        lines.append(f"| FID over the floor of real images | {scores['fid_over_floor']:.2f} | |")
    found, others = _others(scores, about["classes"])
    lines += [f"| {name}, of {found} images | {value:.4g} | |" for name, value in others.items()]
    lines += [
        "",
        "## Gates",
        *(
            f"- {gate.name} {others[gate.score]:.4g}, {'at least' if gate.least else 'at most'} "
            f"{scores.get(gate_limit(gate.score), gate.limit):g}"
            for gate in GATES
            if gate.score in others
        ),
        "",
        "## Intended use and limits",
        "For research on generative models and on training with synthetic data. "
        + (_OF_PATIENTS if about.get("of_patients", True) else "")  # older records do not say
        + "It knows the images it was trained on and no others: their faults, their selection and "
        "their bias are its own. Low copy rates make copies of training images unlikely, not "
        "impossible.",
        "",
        "## Configuration",
        "| hyperparameter | value |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in sorted(about["params"].items())),
    ]
    return "\n".join(lines) + "\n"


def _others(scores: Mapping[str, float], classes: Sequence[str]) -> tuple[str, dict[str, float]]:
    """How many images were scored at once, and every score of them, by class where it is."""
    found, named = f"{scores.get(FRESH_IMAGES, 0):.0f}", {}
    for key, value in scores.items():
        matched = re.fullmatch(r"fresh(?:_(\d+))?/(\w+?)(?:/(\d+))?", key)
        if matched is None:
            continue
        count, name, index = matched.groups()
        found = count or found  # former versions had it in the name
        named[f"{name} of {escaped(classes[int(index)])}" if index else name] = value
    return found, named
