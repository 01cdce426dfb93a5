"""Spaces: every draw is a valid trial, every range is reached, every mistake is named."""

import dataclasses
import subprocess
import sys
import textwrap

import optuna
import pytest

import spaces.__main__ as cli
from search.study.config import FLAGS
from spaces import presets
from spaces.catalog import SPACES, get_space
from spaces.describe import Parameter, check_draw, describe, starting_point, validate
from spaces.errors import InputError
from spaces.presets import default
from spaces.recorder import Choice, Distribution, Interval, Recorder
from spaces.task import Task
from tests.helpers.refusals import refused, tells
from trainable.gan.config import TrialConfig

XRAYS = Task(image_size=64, channels=1, classes=2, images=200)
BACKED = Task(image_size=64, channels=1, classes=2, images=200, backbone="efficientnet-lite1")
AUGMENTED = [
    "translation",
    "translation+brightness+contrast",
    "translation+zoom+brightness+contrast",
    "translation+brightness+contrast+cutout",
]
TASKS = [
    XRAYS,
    BACKED,
    Task(image_size=32, channels=3, classes=5, images=20),
    Task(image_size=32, channels=1, classes=2, images=7),
    Task(image_size=128, channels=3, classes=2, images=1000),
    Task(image_size=512, channels=1, classes=5, images=50),
    Task(image_size=4, channels=1, classes=2, images=12),
]
CATALOG = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
EVERY_TASK = pytest.mark.parametrize("task", TASKS, ids=lambda t: f"{t.image_size}px-{t.images}")


def check_for(task):
    return lambda params: TrialConfig.from_params(params).check_task(task)


def described(space, task=XRAYS) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in describe(space, task)}


# The catalog


@CATALOG
@EVERY_TASK
def test_every_draw_is_a_valid_trial(space, task):
    validate(space, task, check_for(task), draws=200)


@CATALOG
@EVERY_TASK
@pytest.mark.parametrize("end", [0, 1], ids=["low", "high"])
def test_every_branch_is_valid_at_both_ends(space, task, end):
    choices = [p for p in describe(space, task) if isinstance(p.distribution, Choice)]
    options = [(p.name, o) for p in choices for o in p.distribution.options]  # type: ignore[union-attr]
    for forced in options:

        def answer(name: str, distribution: Distribution, forced=forced):
            return forced[1] if name == forced[0] else distribution.ends()[end]

        recorder = Recorder(answer)
        check_for(task)(space(recorder, task))


@CATALOG
@EVERY_TASK
def test_default_preset_is_a_draw_and_the_draw_gives_it_back(space, task):
    start = starting_point(space, task, presets.default(task))
    assert start is not None
    recorder = Recorder(lambda name, _: start[name])
    assert space(recorder, task) == presets.default(task)


@CATALOG
def test_optuna_runs_the_space_and_takes_the_starting_point(space):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    start = starting_point(space, XRAYS, presets.default(XRAYS))
    study.enqueue_trial(start or {})
    assert space(study.ask(), XRAYS) == presets.default(XRAYS)
    ranges = {p.name: p.distribution for p in describe(space, XRAYS)}
    for _ in range(20):
        trial = study.ask()
        check_for(XRAYS)(space(trial, XRAYS))
        assert all(ranges[name].contains(value) for name, value in trial.params.items())


def test_full_is_the_sum_of_the_others_without_sgd():
    parts = described(SPACES["architecture"]) | described(SPACES["optimization"])
    whole = described(SPACES["full"])
    assert whole.keys() == parts.keys()
    of_optimizer = {"optimizer", "momentum", "beta2", "l2"}  # SGD has no beta2
    assert {n for n in whole if whole[n] != parts[n]} == of_optimizer
    optimizers = [found["optimizer"].distribution for found in (parts, whole)]
    assert [isinstance(d, Choice) and "sgd" in d.options for d in optimizers] == [True, False]


def test_full_leaves_only_what_did_not_pay_or_follows_from_the_rest():
    fields = {field.name for field in dataclasses.fields(TrialConfig)}
    assert fields - described(SPACES["full"], BACKED).keys() == {
        "g_residuals", "d_residuals", "warmup_kimg", "penalty_interval", "augment_target",
        "ema_rampup", "backbone", "backbone_role", "backbone_size", "backbone_channels",
        "backbone_width",
    }  # fmt: skip


def test_conditions_are_found():
    conditions = {p.name: p.condition for p in describe(SPACES["full"], XRAYS) if p.condition}
    assert conditions == {
        "leaky_slope": "when activation is leaky_relu",
        "momentum": "when optimizer is rmsprop",
        "beta1": "when optimizer is adam or adamw",
        "l2": "when optimizer is adam or rmsprop",
        "weight_decay": "when optimizer is adamw",
        "penalty_weight": "when penalty is r1 or r1+r2",
        "instance_noise_halflife_kimg": "when instance_noise is above 0",
        "augment_control": "when augment is " + " or ".join(AUGMENTED),
        "augment_probability": "when augment_control is fixed",
    }


@pytest.mark.parametrize(
    ("size", "low", "high"), [(4, 1, 1), (32, 2, 3), (64, 3, 4), (128, 4, 5), (512, 6, 7)]
)
def test_depth_follows_the_image_size(size, low, high):
    found = described(SPACES["full"], Task(size, 1, 2, 200))
    for name in ("g_depth", "d_depth"):
        assert found[name].distribution == Interval(low, high, whole=True)


def test_a_backbone_is_searched_where_there_is_one():
    alone, backed = (described(SPACES["full"], task) for task in (XRAYS, BACKED))
    assert backed.keys() - alone.keys() == {
        "backbone_interval", "backbone_weight", "backbone_lr", "backbone_projection",
    }  # fmt: skip
    for space in SPACES.values():
        validate(space, BACKED, check_for(BACKED), draws=50)
        assert starting_point(space, BACKED, default(BACKED)) is not None


@pytest.mark.parametrize("space", ["full", "optimization"])
def test_adamw_is_never_adam_by_another_name(space):
    found = described(SPACES[space], BACKED)["weight_decay"].distribution
    assert isinstance(found, Choice)
    assert min(found.options) > 0


def test_a_value_that_no_draw_asks_for_is_refused_whatever_else_is_open():
    """As in a best.json of before, whose l2 would be drawn anew."""
    check_draw(SPACES["full"], XRAYS, {"momentum": 0.5})  # the sampler draws the optimizer
    check_draw(SPACES["full"], XRAYS, {"optimizer": "adamw", "weight_decay": 1e-2})
    with pytest.raises(InputError, match=r"^l2 "):
        check_draw(SPACES["full"], XRAYS, {"optimizer": "adamw", "l2": 1e-4})


@pytest.mark.parametrize(
    ("images", "batches"), [(1000, (8, 16, 32)), (20, (8, 16)), (12, (8, 12)), (7, (7,))]
)
def test_batch_size_follows_the_number_of_images(images, batches):
    drawn = described(SPACES["full"], Task(64, 1, 2, images))["batch_size"].distribution
    assert drawn == Choice(batches)


@pytest.mark.parametrize(
    ("optimizer", "lr", "l2"),
    [("adam", 3e-3, 1e-4), ("adamw", 3e-3, 1e-2), ("rmsprop", 9e-4, 1e-4), ("sgd", 3e-2, 1e-4)],
)
def test_rate_and_decay_suit_the_optimizer(optimizer, lr, l2):
    answers = {
        "optimizer": optimizer, "g_lr": 3e-3, "lr_ratio": 0.5, "l2": 1e-4, "weight_decay": 1e-2,
    }  # fmt: skip
    recorder = Recorder(lambda name, d: answers.get(name, d.ends()[0]))
    params = SPACES["optimization"](recorder, XRAYS)  # type: ignore[arg-type]
    assert (params["g_lr"], params["lr_ratio"], params["l2"]) == pytest.approx((lr, 0.5, l2))


def test_importing_spaces_takes_neither_optuna_nor_torch():
    code = (
        "import sys, spaces, spaces.presets, spaces.describe;"
        "print({'optuna', 'torch', 'trainable'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# Finding a space by name


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    made = []

    def write(source: str) -> str:
        name = f"user_space_{tmp_path.name}_{len(made)}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        made.append(name)
        return name

    yield write
    for name in made:
        sys.modules.pop(name, None)


def test_a_users_space_is_found_in_the_current_folder(user_module):
    module = user_module("""
        from spaces import presets
        def narrow(trial, task):
            return presets.default(task) | {"g_width": trial.suggest_int("g_width", 4, 16)}
    """)
    space = get_space(f"{module}:narrow")
    assert [str(p.distribution) for p in describe(space, XRAYS)] == ["4 to 16"]
    validate(space, XRAYS, check_for(XRAYS))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("fulll", ("'fulll'", "full?", "full, architecture, optimization")),
        ("", ("''", "full, architecture, optimization")),
        ("no_such_module_at_all:f", ("'no_such_module_at_all'", "ModuleNotFoundError")),
        ("spaces/catalog.py:full", ("'spaces/catalog.py'", "import statement")),
        (":full", ("module ''",)),
        ("spaces.catalog:ful", ("module spaces.catalog", "'ful'", "full?")),
        ("spaces.catalog:LR_SCALE", ("spaces.catalog:LR_SCALE", "dict", "function")),
        ("spaces.task:Task", ("spaces.task:Task", "type", "function")),
    ],
)
def test_a_name_that_finds_nothing_is_explained(name, parts):
    with refused(*parts):
        get_space(name)


@pytest.mark.parametrize(
    "source",
    [
        "space = lambda trial, task: {}",
        "def make():\n    def inner(trial, task): return {}\n    return inner\nspace = make()",
        "import functools\nspace = functools.partial(print)",
    ],
)
def test_only_a_module_level_function_is_taken(user_module, source):
    module = user_module(source)
    with refused(module, "module-level", "function"):
        get_space(f"{module}:space")


def test_a_module_that_fails_to_import_says_why(user_module):
    module = user_module("import torch_gan_tricks_that_do_not_exist")
    with refused(module, "'torch_gan_tricks_that_do_not_exist'"):
        get_space(f"{module}:space")
    module = user_module("import sys\nsys.exit('a script of its own')")
    with refused(module, "SystemExit", "a script of its own"):
        get_space(f"{module}:space")


# The command


def test_command_lists_the_spaces(capsys):
    assert cli.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(SPACES)
    assert lines[1].split()[1] == "37"


def test_command_shows_one_space(capsys):
    assert cli.main(["full", "--image-size", "32", "--images", "20", "--classes", "5"]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    assert "when optimizer is rmsprop" in rows["momentum"]
    assert "2 to 3" in rows["g_depth"]
    assert "8, 16 " in rows["batch_size"]
    assert rows["g_lr"].split()[-1] == "0.002"
    assert tells(out.splitlines()[-1], 37, "--backbone efficientnet-lite1", "default")


@pytest.mark.parametrize("more", [[], ["--backbone", "none"], ["--image-size", "128"]])
@pytest.mark.parametrize("name", SPACES)
def test_what_the_command_prints_is_what_a_search_may_draw(name, more, capsys):
    """A search stands on the same backbone unless told otherwise."""
    assert cli.main([name, *more]) == 0
    out = capsys.readouterr().out
    table = out[out.index("parameter ") :].splitlines()[1:-1]
    printed = [line.split()[0] for line in table if not line.startswith(" ")]
    options = cli.parser().parse_args([name, *more])
    assert options.backbone == ("none" if "none" in more else FLAGS["backbone"].default)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn: set[str] = set()
    for _ in range(100):
        trial = study.ask()
        SPACES[name](trial, cli._task(options))
        drawn |= trial.params.keys()
    assert sorted(printed) == sorted(drawn)
    assert tells(out.splitlines()[-1], len(drawn), f"--backbone {options.backbone}")


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["nonsense"], ("space 'nonsense'",)),
        (["full", "--image-size", "48"], ("--image-size", 48, "power of two")),
        (["full", "--images", "0"], ("--images", 0, 1)),
    ],
)
def test_command_explains_a_mistake_and_exits_with_2(argv, parts, capsys):
    assert cli.main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert tells(captured.err, *parts)
    assert captured.out == ""


def test_command_as_a_module_exits_with_2_and_no_traceback():
    command = [sys.executable, "-m", "spaces", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
