"""Faults of whole searches, injected for real: drivers killed, MLflow lost, disks filled.

At length, on real images: ``python -m tests.searches.chaos``. Apart from ``test_faults`` so that
two workers share what are the longest tests.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from tests.helpers.toys import make_data, write_pictures
from tests.searches.chaos import Place, kill_and_resume, search_without_mlflow, wait_for_reports


@pytest.fixture
def pictures(tmp_path) -> Path:
    write_pictures(tmp_path / "pictures", make_data(n=24))
    return tmp_path / "pictures"


SHORT = ["--epochs", "4", "--eval-every", "2", "--grace", "2", "--top-k", "1"]
SHORT += ["--winner-images", "20"]


def test_drivers_and_workers_killed_at_random_moments(tmp_path, pictures):
    place = Place(tmp_path, str(pictures), "--trials", "5", *SHORT)
    kill_and_resume(place, 5, 2, 2, random.Random(1))
    place.no_orphans()
    place.check(5, f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_the_search_does_without_mlflow_which_gets_everything_later(tmp_path, pictures, how):
    place = Place(tmp_path, str(pictures), "--trials", "3", *SHORT, study=how)
    search_without_mlflow(place, how, tmp_path, 3)
    place.no_orphans()


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk_stops_the_search_in_order_and_it_goes_on_when_there_is_room(
    tmp_path, pictures
):
    small = tmp_path / "runs"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here (not root?)")
    try:
        place = Place(tmp_path, str(pictures), "--trials", "4", *SHORT)
        process = place.search()
        wait_for_reports(place, 1, process)
        with pytest.raises(OSError, match="No space"):
            fill(small / "ballast")
        assert process.wait() == 1, place.log.read_text()
        said = place.log.read_text()
        assert "stop" in said
        assert "search.run --resume chaos" in said
        assert "Traceback" not in said
        before = place.reports()
        (small / "ballast").unlink()
        process = place.search()
        assert process.wait() == 0, place.log.read_text()
        assert before.items() <= place.reports().items()
        place.check(4, f"sqlite:///{small / 'mlflow.db'}")
        place.no_orphans()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
