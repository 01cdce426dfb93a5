"""A trial's training as a film."""

from __future__ import annotations

import io
import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.films import frames_in
from trainable.data.film import FRAME, FRAMES, LAST, draw_frames, film, write_film, write_last
from trainable.data.sheets import draw_grid


def grid(level: int, channels: int = 1, side: int = 32, classes: int = 2) -> Image.Image:
    return draw_grid(np.full((8 * classes, channels, side, side), level, np.uint8), 8)


def played(data: bytes) -> list[tuple[np.ndarray, int]]:
    """Pixels, and milliseconds, of each frame."""
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.info["loop"] == 0
    return [(np.asarray(frame), time) for frame, time in frames_in(data)]


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grids_follow_one_another_by_epoch_and_the_last_stays(channels, form):
    grids = {20: grid(200, channels), 0: grid(10, channels), 3: grid(90, channels)}
    frames = played(film(draw_frames(grids, ["normal", "COVID+"], {3: 50.0}), form))
    assert [int(pixels[20, -20, 0]) for pixels, _ in frames] == pytest.approx([10, 90, 200], abs=3)
    assert [time for _, time in frames] == [FRAME, FRAME, LAST]


def test_of_many_grids_some_are_shown_the_first_and_the_last_among_them():
    frames = draw_frames({epoch: grid(epoch) for epoch in range(100)}, ["a", "b"], {})
    levels = [int(np.asarray(frame)[20, -20]) for frame in frames]
    assert (len(levels), levels[0], levels[-1]) == (FRAMES, 0, 99)
    assert levels == sorted(set(levels))


def test_more_grids_than_a_process_may_open_make_a_film(tmp_path):
    one, limits = tmp_path / "grid.png", resource.getrlimit(resource.RLIMIT_NOFILE)
    grid(90).save(one)
    fewer = max(int(fd.name) for fd in Path("/proc/self/fd").iterdir()) + 2 * FRAMES
    resource.setrlimit(resource.RLIMIT_NOFILE, (fewer, limits[1]))
    try:
        files = dict(enumerate([one] * fewer))
        assert write_film(tmp_path / "training.gif", files, ["a", "b"], {})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(frames_in((tmp_path / "training.gif").read_bytes())) == FRAMES


def test_a_gif_of_grey_images_loses_nothing():
    noise = np.random.default_rng(0).integers(0, 256, (16, 1, 64, 64), np.uint8)
    drawn = draw_grid(noise, 8)
    ((pixels, _),) = played(film(draw_frames({5: drawn}, ["a", "b"], {}), "GIF"))
    shown = pixels[: drawn.height, -drawn.width :, 0]
    np.testing.assert_array_equal(shown, np.asarray(drawn))


def test_the_last_frame_alone_is_a_picture(tmp_path):
    files = {}
    for epoch in (0, 3):
        files[epoch] = tmp_path / f"{epoch}.png"
        grid(60 * epoch).save(files[epoch])
    write_last(tmp_path / "last.png", files, ["normal", "COVID+"], {3: 50.0})
    whole = draw_frames({3: grid(180)}, ["normal", "COVID+"], {3: 50.0})[0]
    with Image.open(tmp_path / "last.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(whole))
    write_last(tmp_path / "none.png", {}, ["normal", "COVID+"], {})
    assert not (tmp_path / "none.png").exists()


def test_small_images_are_enlarged_and_names_have_a_place():
    small, large = (draw_frames({1: grid(0, side=s)}, ["a", "b"], {})[0] for s in (32, 128))
    assert small.height > 2 * 96
    assert large.width < small.width + 8 * 64
    long, _ = draw_frames({1: grid(0), 2: grid(0)}, ["x" * 300, "a\nb"], {1: 5.0})
    assert long.width < small.width + 400
    named = np.asarray(long)[:100, : long.width - 8 * 96]
    assert named.max() == 255  # there are letters, on black images
