"""What scores mean: real films made worse step by step, and which scores notice.

All on artificial films at 32 pixels with the real extractor, 40 held-out against 40, computed once.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import ladders
from benchmarks.ladders import (
    AWAY_FROM_HALF,
    DIRECTIONS,
    HIGHER_IS_WORSE,
    LADDERS,
    LOWER_IS_WORSE,
    Climb,
    Remembering,
    blur,
    climb,
    collapse,
    copy_in,
    ghost,
    halve,
    mix_labels,
    near_copies,
    noise,
    rank_correlation,
    rank_table,
    value_table,
)
from tests.helpers.refusals import refused, tells
from tests.helpers.toys import TinyExtractor, make_data
from trainable.data.dataset import Dataset, LoadReport
from trainable.data.phantom import CLASSES, phantom
from trainable.pretrained.extractors import load_extractor

RUNGS = {
    "blur": (0, 1, 3), "noise": (0, 8, 40), "collapse": (1, 0.25, 0), "class mix": (0, 0.5, 1),
    "copies": (0, 0.25, 0.5, 1), "near copies": (0, 1),
}  # fmt: skip
SHARES = RUNGS["copies"]


@pytest.fixture(scope="module")
def scores() -> Climb:
    torch.set_num_threads(1)
    images, labels, sources = phantom(32, per_class=40)
    nobody = (None,) * len(images)
    films = Dataset(images, labels, CLASSES, sources, nobody, "phantom", LoadReport(files=0))
    extractor, _ = load_extractor("efficientnet-lite0")
    few = [replace(ladder, rungs=RUNGS[ladder.name]) for ladder in LADDERS if ladder.name in RUNGS]
    return climb(halve(films, 40, seed=0), Remembering(extractor), few, seed=0)


def column(scores: Climb, ladder: str, metric: str) -> list[float]:
    return [rung[metric] for rung in scores[ladder]]


# --- What the scores see


@pytest.mark.parametrize("ladder", ["blur", "noise", "collapse"])
@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_fid_and_kid_rise_with_damage(scores, ladder, metric):
    first, middle, last = column(scores, ladder, metric)
    assert first < middle < last
    assert last > 2 * first


def test_held_out_reals_look_real(scores):
    untouched = scores["blur"][0]
    assert untouched["one_nn"] == pytest.approx(0.5, abs=0.15)
    assert abs(untouched["kid"]) < 0.02
    assert untouched["coverage"] > 0.9
    assert untouched["precision"] > 0.9
    assert untouched["diversity"] == pytest.approx(1, abs=0.1)
    assert untouched["copy_rate"] < 0.1
    assert untouched["pixel_copy_rate"] < 0.05


def test_one_nn_tells_noise_from_films_and_falls_below_half_for_copies(scores):
    assert column(scores, "noise", "one_nn")[-1] > 0.95
    falling = column(scores, "copies", "one_nn")
    assert falling == sorted(falling, reverse=True)
    assert falling[1] < 0.4
    assert falling[-1] < 0.05


def test_collapse_hides_from_precision_but_not_from_coverage_and_diversity(scores):
    assert min(column(scores, "collapse", "precision")) > 0.8
    for metric in ("coverage", "recall", "diversity", "cid_diversity"):
        first, middle, last = column(scores, "collapse", metric)
        assert first > middle > last
    assert column(scores, "collapse", "diversity")[-1] < 0.5  # below the gate


def test_copy_rates_read_off_the_share_of_copies_while_fid_rewards_it(scores):
    by_chance = scores["copies"][0]["copy_rate"]
    for share, rung in zip(SHARES, scores["copies"], strict=True):
        assert rung["copy_rate"] == pytest.approx(share, abs=by_chance + 0.03)
        assert rung["pixel_copy_rate"] == pytest.approx(share, abs=0.05)
        assert rung["creativity"] == pytest.approx(1 - share, abs=0.1)
    for metric in ("fid", "kid", "fid/0", "fid/1"):
        better = column(scores, "copies", metric)
        assert better == sorted(better, reverse=True)
    assert abs(column(scores, "copies", "fid")[-1]) < 1e-3


def test_near_copies_are_seen_in_pixels_and_not_in_features(scores):
    copied = scores["near copies"][-1]
    assert copied["pixel_copy_rate"] > 0.9
    assert copied["copy_rate"] < 0.1


def test_only_scores_of_a_class_see_classes_mixed(scores):
    for metric in ("fid", "kid", "one_nn", "coverage", "copy_rate"):
        first, _, last = column(scores, "class mix", metric)
        assert last == pytest.approx(first, rel=1e-6, abs=1e-9)
    for metric in ("fid/0", "fid/1"):
        first, middle, last = column(scores, "class mix", metric)
        assert first < middle < last
    for metric in ("kid/0", "kid/1"):
        first, _, last = column(scores, "class mix", metric)
        assert last > first + 0.01


def test_the_inception_score_prefers_slight_noise_to_real_films(scores):
    first, middle, _ = column(scores, "noise", "inception_score")
    assert middle > 1.1 * first


# --- The damage


@pytest.fixture
def films() -> np.ndarray:
    return np.random.default_rng(3).integers(60, 200, (12, 3, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize("ladder", LADDERS, ids=lambda ladder: ladder.name)
def test_damage_is_repeatable_keeps_the_shape_and_starts_at_none(ladder):
    halves = halve(make_data(48), 100, seed=1)
    before = halves.held.copy(), halves.real.copy(), halves.labels.copy()
    for place, rung in enumerate(ladder.rungs):
        images, labels = ladder.damage(halves, rung, 5)
        assert images.dtype == np.uint8
        assert images.shape == halves.held.shape
        assert labels.shape == halves.labels.shape
        again, labels_again = ladder.damage(halves, rung, 5)
        np.testing.assert_array_equal(images, again)
        np.testing.assert_array_equal(labels, labels_again)
        same = np.array_equal(images, halves.held) and np.array_equal(labels, halves.labels)
        assert same == (place == 0 and ladder.name != "collapse")
    for was, now in zip(before, (halves.held, halves.real, halves.labels), strict=True):
        np.testing.assert_array_equal(was, now)


def test_blur_and_noise_have_the_strength_they_say(films):
    dot = np.zeros((1, 1, 33, 33), np.uint8)
    dot[0, 0, 16, 16] = 255
    spread = blur(dot, 1.0)[0, 0].astype(float)
    assert spread[16, 16] == pytest.approx(255 / (2 * np.pi), abs=1.5)
    assert spread[16, 17] / spread[16, 16] == pytest.approx(np.exp(-0.5), abs=0.03)
    assert (noise(films, 8, 0) - films.astype(float)).std() == pytest.approx(8, rel=0.03)
    assert noise(films, 300, 0).min() == 0  # clipped, not wrapped
    assert noise(films, 300, 0).max() == 255


def test_no_image_is_its_own_ghost():
    shades = np.arange(0, 200, 20, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 1, 4, 4), np.uint8
    )
    for seed in range(20):
        mixed = ghost(shades, 0.5, seed)
        assert not (mixed == shades).all((1, 2, 3)).any()
        assert mixed.mean() == pytest.approx(shades.mean(), abs=0.5)


@pytest.mark.parametrize(("share", "distinct"), [(1, 12), (0.5, 6), (0.25, 3), (0.1, 1), (0, 1)])
def test_collapse_leaves_so_many_images_under_tiny_noise(films, share, distinct):
    left = collapse(films, share, seed=2)
    assert len(np.unique(left, axis=0)) == 12  # no exact repeats
    distances = np.abs(left[:, None].astype(int) - films[None]).mean((2, 3, 4))
    assert distances.min(1).max() < 2
    sources = distances.argmin(1)
    assert len(set(sources)) == distinct
    assert (np.diff(sources) >= 0).all()  # in the classes' order


def test_mixing_moves_labels_to_the_next_class():
    labels = np.repeat(np.arange(3), 10)
    np.testing.assert_array_equal(mix_labels(labels, 3, 1, 0), (labels + 1) % 3)
    moved = mix_labels(labels, 3, 0.3, 0) != labels
    assert moved.reshape(3, 10).sum(1).tolist() == [3, 3, 3]


def test_copies_come_from_the_same_class_and_are_all_different(films):
    labels = np.repeat([0, 1], 6)
    real = films[::-1].copy()
    copied = copy_in(np.zeros_like(films), labels, real, labels, 0.5, seed=0)
    sources = [int((real == image).all((1, 2, 3)).argmax()) for image in copied if image.any()]
    assert len(sources) == len(set(sources)) == 6
    for image, label in zip(copied, labels, strict=True):
        if image.any():
            assert (real[labels == label] == image).all((1, 2, 3)).any()


def test_near_copies_are_shifted_by_one_pixel(films):
    near = near_copies(films, 0)[..., 1:, 1:].astype(float)
    assert (near - films[..., :-1, :-1]).std() == pytest.approx(4, rel=0.05)


# --- Splits


def test_halves_share_no_patient_and_hold_half_of_each_class():
    data = make_data(90)
    patients = tuple(f"p{i // 4 * 2 + i % 2}" if i < 80 else None for i in range(90))
    data = replace(data, patients=patients)
    halves = halve(data, 100, seed=4)
    whose = {image.tobytes(): name for image, name in zip(data.images, patients, strict=True)}
    one, other = ({whose[i.tobytes()] for i in side} for side in (halves.real, halves.held))
    assert one & other <= {None}
    assert len(halves.real) + len(halves.held) == 90
    for labels in (halves.real_labels, halves.labels):
        assert (np.diff(labels) >= 0).all()
        assert abs(np.bincount(labels) - 22.5).max() <= 2
    assert not np.array_equal(halves.real, halve(data, 100, seed=5).real)


def test_halves_take_no_more_than_asked_and_no_less_than_enough():
    assert len(halve(make_data(80), 25, seed=0).held) == 25
    with refused("half", "made", "10 images"):
        halve(make_data(80), 10, seed=0)
    with refused("made", "more images"):
        halve(make_data(30), 100, seed=0)


# --- Tables


def test_rank_correlation_is_one_where_every_step_looks_worse():
    assert rank_correlation([1, 2, 4, 9], HIGHER_IS_WORSE) == pytest.approx(1)
    assert rank_correlation([1, 2, 4, 9], LOWER_IS_WORSE) == pytest.approx(-1)
    assert rank_correlation([0.5, 0.45, 0.6, 0.1], AWAY_FROM_HALF) == pytest.approx(1)
    assert rank_correlation([1, 2, 4, 3], HIGHER_IS_WORSE) == pytest.approx(0.8)
    assert rank_correlation([3, 3, 3 + 1e-12], HIGHER_IS_WORSE) == 0  # rounding is no rank
    assert np.isnan(rank_correlation([1, float("nan"), 2], HIGHER_IS_WORSE))


def test_the_table_names_blind_and_wrong_scores(scores):
    rows = {line.split("|")[1].strip(" `"): line for line in rank_table([scores])}
    names = [name.strip() for name in rows["score"].split("|")[2:-1]]
    assert names == list(scores)
    cells = {
        metric: dict(zip(names, (c.strip() for c in rows[metric].split("|")[2:-1]), strict=True))
        for metric in DIRECTIONS
    }
    assert cells["fid"]["noise"] == "1.00"
    assert cells["fid"]["class mix"] == "0.00 blind"
    assert cells["fid"]["copies"] == "-1.00 wrong"
    assert cells["fid/0"]["class mix"] == "1.00"
    assert cells["pixel_copy_rate"]["copies"] == "1.00"


def test_the_table_averages_over_splits():
    rising = {"blur": [dict.fromkeys(DIRECTIONS, float(i)) for i in range(3)]}
    falling = {"blur": rising["blur"][::-1]}
    lines = list(rank_table([rising, falling]))
    assert "| `fid` | 0.00 blind |" in lines
    values = list(value_table([rising, falling], [replace(LADDERS[0], rungs=(0, 1, 2))]))
    assert values[2].startswith("| blur 0 | 1 | 1 |")


def test_the_command_writes_what_it_prints(monkeypatch, tmp_path, capsys):
    tiny: Any = TinyExtractor()
    some = [LADDERS[0], LADDERS[-1]]
    monkeypatch.setattr(ladders, "LADDERS", some)
    monkeypatch.setattr(ladders, "load", lambda spec, size: make_data(40, size))
    monkeypatch.setattr(ladders, "load_extractor", lambda choice: (tiny, "features: tiny"))
    out = tmp_path / "table.md"
    options = ["--image-size", "32", "--repeats", "2", "--out", str(out)]
    assert ladders.main(["anything", *options]) == 0
    printed = capsys.readouterr().out
    assert out.read_text() == printed
    assert tells(printed.splitlines()[0], "made", "20 images", "20 others", "32 pixels", 2, "tiny")
    assert "| score | blur | near copies |" in printed
    assert "| near copies 0.25 |" in printed


@pytest.mark.parametrize(
    ("options", "parts"),
    [(["phantom", "--repeats", "0"], ["--repeats", 0]), (["fantom"], ["fantom", "phantom"])],
)
def test_the_command_refuses_bad_input(capsys, options, parts):
    assert ladders.main(options) == 2
    assert tells(capsys.readouterr().err, *parts)
