"""The commands of `cgan-search`: their names, the modules that are them, and what each is for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Command(NamedTuple):
    """A module with a `main` and a `parser`, which ``python -m`` takes too.

    It is named, not imported: what one command needs, the others need not wait for.
    """

    module: str
    about: str


GROUPS: dict[str, dict[str, Command]] = {
    "search": {
        "run": Command("search.run", "search the hyperparameters of a GAN on your images"),
        "resume": Command("search.resume", "resume a stopped study: resume NAME"),
        "doctor": Command("search.doctor.__main__", "check what a search would meet beforehand"),
        "publish": Command("search.publish", "write to MLflow whatever it is missing of a study"),
        "ui": Command("search.ui", "open MLflow's pages at the runs of all studies"),
        "spaces": Command("spaces.__main__", "list the search spaces, or show one"),
    },
    "results": {
        "report": Command("analysis.report", "a study as one HTML file"),
        "generate": Command("trainable.generate", "write a synthetic data set"),
        "augment": Command(
            "analysis.augmentation.__main__", "do synthetic images help a classifier?"
        ),
    },
    "figures of a study": {
        "figures hyperparameters": Command(
            "analysis.hyperparameters", "which hyperparameters matter, and which way"
        ),
        "figures fid-vs-time": Command("analysis.fid_vs_time", "image quality by training time"),
        "figures learning-curves": Command("analysis.learning_curves", "FID as trials train"),
        "figures parallel": Command("analysis.parallel", "the good trials' configurations"),
        "figures interactions": Command("analysis.interactions", "hyperparameters in pairs"),
        "figures objectives": Command("analysis.objectives", "FID against a classifier's error"),
        "figures samples": Command("analysis.samples", "what a trial learned to draw"),
        "figures neighbours": Command("analysis.neighbours", "has a generator copied its images?"),
        "figures compare": Command("analysis.compare", "studies of the same images side by side"),
    },
    "parts": {
        "data": Command("trainable.data.__main__", "look at images, or draw a small set"),
        "train": Command("trainable.__main__", "train one GAN without a search"),
        "metrics": Command("trainable.metrics.__main__", "score generated images by real ones"),
        "completion": Command("search.completion", "print a shell's completion of all this"),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def listing() -> str:
    """All commands by group, as the help shows them."""
    return "\n\n".join("\n".join(_rows(title)) for title in GROUPS)


def _rows(title: str) -> Iterator[str]:
    yield f"{title}:"
    for name, command in GROUPS[title].items():
        yield f"  {name:<25}{command.about}"
