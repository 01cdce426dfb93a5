"""A winner's artifacts, and a champion that loads where this project is not."""

import json
import math
import os
import shutil
import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from PIL import Image

from search.tracking import champion
from search.tracking import sample_grids as grids
from search.tracking.projection import connect
from search.winners.model_card import card_of
from tests.helpers.films import frames_in
from tests.helpers.refusals import tells
from tests.helpers.toys import export_trial, make_data, make_workload, small_params
from trainable.data.sheets import spread
from trainable.generators.export import CONFIG, EXPORTED, WEIGHTS
from trainable.generators.weights_file import read_generator
from trainable.metrics.intervals import Interval
from trainable.tracking.names import EXPERIMENT, afresh_interval
from trainable.trial.trial import Trial


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    connect(uri).create_experiment(EXPERIMENT, artifact_location=(folder / "artifacts").as_uri())
    return uri


def trained(folder, **changes):
    """A trial after its two evaluations, exported: the trial and the folder of its export."""
    channels = changes.pop("channels", 1)
    data = make_data(channels=channels)
    params = small_params(data, **changes)
    trial = Trial(make_workload(data, folder, (1, 2)), 0, params)
    trial.advance()
    trial.advance()
    export_trial(trial, folder / "out", scores={"fid": 1.5})
    return trial, folder / "out"


def draw(n, seed=3):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, 8, generator=rng), torch.eye(2)[torch.arange(n) % 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": 3, "output_activation": "sigmoid"},
        {"upsampling": "transposed", "activation": "gelu", "leaky_slope": None},
    ],
)
def test_the_export_draws_what_the_run_draws(tmp_path, changes):
    trial, out = trained(tmp_path, **changes)
    generator = torch.export.load(out / EXPORTED).module()
    for n in (1, 7):
        z, y = draw(n)
        images = generator(z, y)
        assert images.dtype == torch.uint8
        torch.testing.assert_close(
            images, trial.run.sample(torch.arange(n) % 2, seed=3), rtol=0, atol=0
        )
    about = json.loads((out / CONFIG).read_text())
    weights, record = read_generator(out / WEIGHTS)
    assert record == about
    for name, tensor in trial.run.G_ema.state_dict().items():
        assert torch.equal(weights.pop(name), tensor)
    assert weights == {}
    assert about["classes"] == ["class0", "class1"]
    assert about["scores"] == {"fid": 1.5}
    assert about["params"] == trial.run.config.to_params()


@pytest.fixture
def winner(uri, tmp_path):
    """The run of a winner that ended long ago, its trial and its export."""
    client = connect(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    run_id = client.create_run(experiment.experiment_id, tags={"cgan.study": "s"}).info.run_id
    client.set_terminated(run_id, "FINISHED", 12345)
    return run_id, *trained(tmp_path)


def test_a_winner_is_kept_once(uri, winner, tmp_path):
    run_id, trial, out = winner
    for fid in (4.0, 3.0):
        afresh = [Interval(fid - 1, fid + 2, fid), Interval(fid, fid + 4, fid + 1)]
        verdict = champion.Verdict(1, {"fid_fresh": fid}, afresh=afresh)
        champion.log_winner(uri, run_id, trial.folder, out, verdict)
    client = connect(uri)
    run = client.get_run(run_id)
    ends = {
        afresh_interval(end): value for end, value in (("low", 3.0), ("high", 7.0), ("mean", 4.0))
    }
    assert run.data.metrics == {"fid_fresh": 3.0, **ends}
    again = client.get_metric_history(run_id, afresh_interval("high"))
    assert {m.step: m.value for m in sorted(again, key=lambda m: m.timestamp)} == {1: 5.0, 2: 7.0}
    assert run.data.tags[champion.WINNER] == run.data.tags[champion.RANK] == "1"
    assert run.data.tags[champion.FAILED] == ""
    names = {f.path for f in client.list_artifacts(run_id)}
    kept = {"generator.pt2", "generator.safetensors", "config.json"}
    assert names == {*kept, "images", "training.gif"}
    pictures = [f.path for f in client.list_artifacts(run_id, "images")]
    assert sum(path.endswith(".png") for path in pictures) == 3
    assert grids.logged_epochs(client, run_id) == {0, 1, 2}
    assert len(frames_in(client.download_artifacts(run_id, "training.gif", str(tmp_path)))) == 3
    Image.new("L", (9, 8)).save(out / "samples.png")
    client.log_metric(run_id, "best/fid", 2.0)  # of the search as it went on
    champion.log_best(uri, run_id, out, {"trial": 4, "improvement": 0.1, **verdict.scores})
    champion.log_best(uri, None, out, {"trial": 4})  # the study's run is not there yet
    champion.log_best(uri, run_id, out, {"trial": 5, **verdict.scores})
    best = client.get_run(run_id).data.metrics
    assert (best["best/fid"], best["best/fid_fresh"], best["best/trial"]) == (2.0, 3.0, 5.0)
    assert math.isnan(best["best/improvement"])  # of trial 4, which is champion no more
    champion.log_best(uri, run_id, None, {})
    best = client.get_run(run_id).data.metrics
    assert {k for k, v in best.items() if k.startswith("best/") and v == v} == {"best/fid"}
    run = client.get_run(run_id)
    shown = client.download_artifacts(run_id, "best.png", str(tmp_path))
    with Image.open(shown) as drawn:
        assert drawn.size == (9, 8)
    champion.clear_winners(uri, "s")
    marks = {champion.WINNER, champion.RANK, champion.FAILED, champion.TIE}
    assert not marks & set(client.get_run(run_id).data.tags)
    failing = champion.Verdict(2, {}, failed=("coverage 0.00", "copies"), tie=True)
    champion.log_winner(uri, run_id, trial.folder, out, failing)
    tags = client.get_run(run_id).data.tags
    assert {name: tags.get(name) for name in marks} == {
        champion.WINNER: None, champion.RANK: "2", champion.FAILED: "coverage 0.00; copies",
        champion.TIE: "True",
    }  # fmt: skip
    champion.clear_winners(uri, "s")
    assert not marks & set(client.get_run(run_id).data.tags)


def test_grids_are_spread_from_first_to_last():
    assert spread(list(range(100)), 4) == [0, 33, 66, 99]
    assert spread([1, 2], 4) == [1, 2]


ELSEWHERE = """
import sys, warnings
import mlflow, numpy as np, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/planted@champion")
rows = pd.DataFrame({"class": ["class1", "class0", "class1"], "seed": [5, 6, 7]})
np.save("images.npy", model.predict(rows))
assert not {"search", "trainable", "spaces"} & {name.partition(".")[0] for name in sys.modules}
"""


def test_the_champion_loads_where_this_project_is_not(uri, winner, tmp_path, monkeypatch, capfd):
    run_id, trial, out = winner
    foreign = tmp_path / "elsewhere"
    foreign.mkdir()
    monkeypatch.chdir(foreign)  # where a store that was set up wrongly would leave its files
    assert champion.register_champion(uri, run_id, out, "planted", card_of(out)) == "1"
    # It is there already.
    assert champion.register_champion(uri, run_id, out, "planted", card_of(out)) == "1"
    run = connect(uri).get_run(run_id)
    assert (run.info.status, run.info.end_time) == ("FINISHED", 12345)
    assert run.outputs is not None
    assert len(run.outputs.model_outputs) == 1
    version = connect(uri).get_model_version_by_alias("planted", "champion")
    assert version.run_id == run_id
    assert tells(version.description or "", "study s", "trial 0", "class0, class1")
    assert capfd.readouterr() == ("", "")
    command = [sys.executable, "-I", "-c", ELSEWHERE, uri]
    # Without what MLflow leaves in the environment of who used it before, such as this process.
    env = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
    done = subprocess.run(command, cwd=foreign, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    images = np.load(foreign / "images.npy")
    assert [p.name for p in foreign.iterdir()] == ["images.npy"]
    assert images.shape == (3, 32, 32)
    assert images.dtype == np.uint8
    z, _ = draw(1, seed=6)
    expected = trial.run.G_ema(z, torch.tensor([[1.0, 0.0]]))
    np.testing.assert_array_equal(images[1], ((expected + 1) * 127.5).round()[0, 0].detach())


def test_another_champion_is_another_version(uri, winner, tmp_path, monkeypatch):
    """Told by its weights: the alias moves to them, and back to an earlier champion's again."""
    run_id, _, out = winner
    other = tmp_path / "other"
    shutil.copytree(out, other)
    with (other / WEIGHTS).open("ab") as file:
        file.write(b"x")
    versions = []
    for exported in (out, other, other, out):
        version = champion.register_champion(uri, run_id, exported, "moved", "")
        versions.append(version)
        found = connect(uri).get_model_version_by_alias("moved", "champion")
        assert (str(found.version), found.run_id) == (version, run_id)
    assert versions == ["1", "2", "2", "3"]
    assert champion.champion_of_another(uri, "moved", "s") is None
    assert champion.champion_of_another(uri, "unheard of", "s") is None
    assert champion.champion_of_another(uri, "moved", "another") == "3"
    with monkeypatch.context() as gone:  # as `mlflow gc` leaves it
        lost = Mock(side_effect=MlflowException("not found"))
        gone.setattr("mlflow.tracking.MlflowClient.get_run", lost)
        assert champion.champion_of_another(uri, "moved", "another") is None
    for study, there in (("another", True), ("s", False), ("s", False)):
        champion.withdraw_champion(uri, "moved", study)
        assert ("champion" in connect(uri).get_registered_model("moved").aliases) is there


def test_an_image_depends_on_its_class_and_seed_alone(tmp_path):
    from types import SimpleNamespace

    from search.tracking.champion_model import Champion

    _, out = trained(tmp_path, channels=3)
    model = Champion()
    files = {"generator": str(out / EXPORTED), "config": str(out / CONFIG)}
    model.load_context(SimpleNamespace(artifacts=files))

    def predict(names, seeds):
        return model.predict(None, pd.DataFrame({"class": names, "seed": seeds}))

    many = predict(["class0", "class1"] * 4, [1, 1, 2, 2, 3, 3, 1, 1])
    assert many.shape == (8, 32, 32, 3)
    np.testing.assert_array_equal(many[5], predict(["class1"], [3])[0])
    np.testing.assert_array_equal(many[:2], many[6:])
    assert len({image.tobytes() for image in many[:6]}) == 6
    assert predict([], []).shape == (0, 32, 32, 3)
    with pytest.raises(ValueError, match=r"\bcat\b.*class0, class1"):
        predict(["class0", "cat"], [1, 2])
