"""Whole searches that lose a store: MLflow's server hangs, or their disk fills, for real.

A server that dies, and drivers killed at random: ``python -m tests.searches.chaos``.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.helpers.faults import as_soon_as
from tests.helpers.searches import Place, free_port
from tests.helpers.toys import make_data, write_pictures
from tests.searches.chaos import server

SHORT = [
    "--epochs", "4", "--eval-every", "2", "--grace", "2", "--top-k", "1",
    "--winner-images", "20", "--sampler", "random", "--max-concurrent", "1",
]  # fmt: skip


@pytest.fixture
def pictures(tmp_path) -> str:
    write_pictures(tmp_path / "pictures", make_data(n=24))
    return str(tmp_path / "pictures")


def test_the_search_does_without_mlflow_which_gets_everything_later(
    tmp_path, pictures, monkeypatch
):
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    place = Place(tmp_path, pictures, "--trials", "3", *SHORT)
    with server(tmp_path, port) as served:

        def hang() -> None:
            os.killpg(served.pid, signal.SIGSTOP)
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # nothing answers any more

        with as_soon_as(lambda: len(place.reports()) >= 2, hang):
            code, said = place.run("search.run", *place.flags, "--tracking-uri", uri)
        assert code == 0, said
        assert "cgan-search publish chaos" in said
        assert (tmp_path / "runs" / "chaos" / "best.json").exists()
        monkeypatch.undo()
        os.killpg(served.pid, signal.SIGCONT)
        code, said = place.run("search.publish", "chaos", "--tracking-uri", uri)
        assert code == 0, said
        place.check(3, uri)


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
        place = Place(tmp_path, pictures, "--trials", "4", *SHORT)

        def fill_up() -> None:
            with pytest.raises(OSError, match="No space"):
                fill(small / "ballast")

        with as_soon_as(place.reports, fill_up):
            code, said = place.run("search.run", *place.flags)
        assert code == 1, said
        assert "stop" in said
        assert "cgan-search resume chaos" in said
        before = place.reports()
        (small / "ballast").unlink()
        code, said = place.run("search.run", "--resume", "chaos")
        assert code == 0, said
        assert before.items() <= place.reports().items()
        place.check(4, place.store)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
