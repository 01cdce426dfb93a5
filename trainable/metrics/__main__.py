"""`python -m trainable.metrics REAL FAKE`: judge generated images by real ones."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

from trainable.basics.command import command_line
from trainable.basics.files import check_file, path_argument
from trainable.basics.parser import Parser, program
from trainable.basics.progress import stage
from trainable.basics.terminal import make_console, printable, say
from trainable.data.folders.listing import check_folder
from trainable.metrics.two_folders.result import Options, Result

# A score's value for a generator that cannot be told from the real images.
_BEST = {
    "kid": "0", "diversity": "1", "one_nn": "0.5", "one_nn_real": "0.5", "one_nn_fake": "0.5",
    "precision": "some 0.9", "recall": "some 0.9", "density": "1", "coverage": "some 0.9",
    "likeness": "1",
    "copy_rate": "0.01 to 0.03, no copies", "pixel_copy_rate": "0, no copies",
    "creativity": "1", "inheritance": "1", "cid_diversity": "as much as can be",
}  # fmt: skip
# And where it must be measured: its key, and what it is.
_MEASURED = {
    "fid": ("floor", "the floor"),
    "inception_score": ("inception_score_real", "the reals'"),
}


@command_line()
def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 0, or 2 for bad input."""
    args = parser().parse_args(argv)
    for folder in filter(None, (args.real, args.fake, args.train)):
        check_folder(folder)
    check_file("--baseline", args.baseline)
    check_file("--features-weights", args.features_weights)
    errors = make_console(stderr=True)  # standard output is the result's
    with stage(errors, "starting"):  # PyTorch takes seconds to import
        from trainable.metrics.two_folders.compare import compare

    options = Options(
        size=args.image_size,
        features=args.features,
        weights=args.features_weights,
        resize=args.protocol,
        unverified=args.unverified_weights,
        background=args.background,
        train=args.train,
        baseline=args.baseline,
        neighbours=args.neighbours,
    )
    say_error, bar = partial(say, errors), partial(stage, errors)
    result = compare(args.real, args.fake, options, say=say_error, stage=bar)
    if args.json:
        print(json.dumps(result.to_json(), allow_nan=False))
    else:
        _show(result)
    return 0


def _show(result: Result) -> None:
    """Print a result as a table, with its sizes, protocol and floor."""
    from rich.table import Table

    console = make_console()
    made, before, copied = result.conditions, result.baseline, ""
    if made.train_digest != made.real_digest:
        copied = f", copies sought among {made.n_train} training images"
    sizes = f"{made.n_fake} generated images against {made.n_real} real ones{copied}"
    squares = f"centre squares of {result.pixel_size} pixels"
    if made.image_size is None:
        squares = f"files as they are, scores in pixels of {squares}"
    for line in (sizes, f"{squares}, {made.protocol}, {result.features}"):
        say(console, line)
    table = Table("score", "value", *([] if before is None else ["baseline"]), "ideal")
    references = {reference for reference, _ in _MEASURED.values()}
    for key, value in result.scores.items():
        name, slash, label = key.partition("/")
        if name in references:
            continue
        ideal = _BEST.get(name, "")
        if name in _MEASURED:
            reference, words = _MEASURED[name]
            ideal = f"{_shown(result.scores[reference + slash + label])}, {words}"
        earlier = [] if before is None else [_shown(before.get(key))]
        table.add_row(printable(key), _shown(value), *earlier, ideal)
    console.print(table)
    for warning in result.warnings:
        say(console, f"warning: {warning}")


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def parser() -> Parser:
    """The command line's."""
    p = Parser(
        prog=program("trainable.metrics"),
        description="FID, KID and what they cannot see, for two folders of images.",
    )
    p.add_argument("real", type=path_argument, help="real images, in class folders or not")
    p.add_argument("fake", type=path_argument, help="generated images, in class folders or not")
    p.add_argument(
        "--image-size", type=int, metavar="PIXELS",
        help=(
            "first make all images squares of this side, as a search does (default: score files "
            "as they are)"
        ),
    )  # fmt: skip
    p.add_argument(
        "--features", default="auto", help="auto, efficientnet-lite0 or inception (default: auto)"
    )
    p.add_argument("--features-weights", type=Path, metavar="FILE", help="the network's weights")
    p.add_argument(
        "--unverified-weights", action="store_true", help="accept weights with any checksum"
    )
    p.add_argument(
        "--protocol", default="bilinear", help="resizing: bilinear or clean (default: bilinear)"
    )
    p.add_argument(
        "--background",
        default="black",
        help="colour behind transparent pixels: black, white or #rrggbb (default: black)",
    )
    p.add_argument(
        "--train", type=path_argument, metavar="DIR",
        help="the generator's training images, to look for copies of (default: REAL)",
    )  # fmt: skip
    p.add_argument(
        "--baseline", type=Path, metavar="JSON", help="earlier output of --json, to compare with"
    )
    p.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    p.add_argument(
        "--neighbours", type=Path, metavar="PNG",
        help="draw the generated images that are most like a training image, next to it",
    )  # fmt: skip
    return p


if __name__ == "__main__":
    sys.exit(main())
