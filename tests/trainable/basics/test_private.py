"""What nobody else on the machine may read or take over: scratch folders, and Ray's token."""

import os
import stat
import tempfile
from pathlib import Path

import pytest
from ray._private.utils import validate_socket_filepath

from search.run import main
from search.study.trial_files import attach_storage
from spaces.errors import InputError
from tests.helpers.refusals import refused, tells
from trainable.basics.private import private_folder
from trainable.distributed import cluster, ray_token
from trainable.distributed.cluster import connected
from trainable.distributed.ray_token import guard_token
from trainable.distributed.resources import Resources
from trainable.trial.object_store import scratch

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="root alone may give files away")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- Folders


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """As /tmp: everybody may write there."""
    tmp_path.chmod(0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_scratch_folder_is_of_this_user_alone_and_found_again(temporary, monkeypatch):
    before = os.umask(0)
    try:
        place = scratch("s3://bucket/a")
    finally:
        os.umask(before)
    assert mode(place) == 0o700
    (place / "kept").touch()
    assert scratch("s3://bucket/a") == place
    assert (place / "kept").exists()
    assert scratch("s3://bucket/b") != place
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(InputError) as caught:  # another user's is another one
        scratch("s3://bucket/a")
    assert "cgan-search-12345-" in str(caught.value)


def test_a_folder_that_others_may_read_is_closed(temporary):
    place = temporary / "mine"
    place.mkdir(mode=0o755)
    assert mode(private_folder(place)) == 0o700


@pytest.mark.parametrize(
    ("take", "kind"),
    [
        (lambda place: place.symlink_to(place.parent), "link"),
        (lambda place: place.symlink_to(place.parent / "nowhere"), "link"),
        (lambda place: place.touch(), "file"),
        (lambda place: (place.mkdir(), place.chmod(0o777)), "others"),
        (lambda place: (place.mkdir(), place.chmod(0o770)), "others"),
    ],
)
def test_what_another_may_have_put_there_is_refused(temporary, take, kind):
    place = temporary / "taken"
    take(place)
    with refused(place, kind, "TMPDIR"):
        private_folder(place)
    assert place.is_symlink() or not list(temporary.glob("taken/*"))


@root_only
def test_a_folder_of_another_user_is_refused(temporary):
    place = scratch("s3://bucket/a")
    os.chown(place, 12345, 12345)
    with refused(place, "another user", "TMPDIR"):
        scratch("s3://bucket/a")


def test_a_folder_that_cannot_be_made_is_bad_input(temporary):
    place = temporary / "none" / "here"
    with refused(place, "No such file or directory", "TMPDIR"):
        private_folder(place)


def test_a_search_whose_scratch_folder_is_taken_does_not_begin(temporary):
    url = f"file://{temporary}/store"
    study = temporary / "runs" / "s"
    study.mkdir(parents=True)
    object_store = attach_storage(study, url)
    assert object_store is not None
    place = scratch(object_store.url)
    place.rmdir()
    place.symlink_to(temporary)
    for asked in (url, None):
        with refused(place, "link"):
            attach_storage(study, asked)


# --- Ray's token


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The user's home, with nothing in it, and no word on tokens in the environment."""
    tmp_path.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(params=["default", "named"])
def token(request, home, monkeypatch):
    """The token's path, where Ray looks by itself, and where it is told to."""
    path = home / ".ray" / "auth_token" if request.param == "default" else home / "my token"
    path.parent.mkdir(exist_ok=True)
    if request.param == "named":
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    return path


def guard(*, make: bool = True) -> list[str]:
    said: list[str] = []
    guard_token(said.append, make=make)
    return said


def is_refused(token: Path, *parts: object, make: bool = True) -> None:
    with refused(token, *parts) as caught:
        guard_token(lambda line: None, make=make)
    assert "\n" not in str(caught.value)


def test_a_token_is_made_for_this_user_alone(token):
    before = os.umask(0)
    try:
        assert guard() == []
    finally:
        os.umask(before)
    assert mode(token) == 0o600
    assert len(bytes.fromhex(token.read_text())) == 32
    kept = token.read_text()
    assert guard() == []
    assert token.read_text() == kept


def test_the_folder_of_the_token_is_made_closed(home):
    guard()
    assert mode(home / ".ray") == 0o700
    assert [path.name for path in (home / ".ray").iterdir()] == ["auth_token"]


def test_no_two_searches_make_two_tokens(home, monkeypatch):
    token = home / ".ray" / "auth_token"
    link = os.link

    def faster(part: Path, path: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        guard()  # another process, in the moment before the name is taken
        link(part, path)

    monkeypatch.setattr(os, "link", faster)
    first = []
    monkeypatch.setattr(
        ray_token.secrets, "token_hex", lambda n: first.append(n) or str(len(first))
    )
    guard()
    assert token.read_text() == "2"  # of the one that was faster
    assert [path.name for path in token.parent.iterdir()] == ["auth_token"]


def test_a_token_is_made_where_there_are_no_hard_links(token, monkeypatch):
    def none(part: Path, path: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    guard()
    assert mode(token) == 0o600


@pytest.mark.parametrize("permissions", [0o644, 0o640, 0o604, 0o620, 0o602, 0o777])
@pytest.mark.parametrize("make", [True, False])
def test_a_token_that_others_may_read_or_write_is_taken_from_them(token, permissions, make):
    token.write_text("secret\n")
    token.chmod(permissions)
    (said,) = guard(make=make)
    assert tells(said, token, "permissions")
    assert "secret" not in said
    assert mode(token) == 0o600
    assert token.read_text() == "secret\n"
    assert guard(make=make) == []


@pytest.mark.parametrize("permissions", [0o600, 0o400])
def test_a_token_that_nobody_else_reads_is_left_alone(token, permissions):
    token.write_text("secret")
    token.chmod(permissions)
    assert guard() == []
    assert mode(token) == permissions


def test_a_link_is_followed_to_the_file_that_others_may_read(token, home):
    kept = home / "kept"
    kept.write_text("secret")
    token.symlink_to(kept)
    assert len(guard()) == 1
    assert mode(kept) == 0o600
    assert token.is_symlink()


def test_a_link_to_nothing_is_refused(token, home):
    token.symlink_to(home / "nowhere")
    is_refused(token, "link", "RAY_AUTH_TOKEN_PATH")
    assert not (home / "nowhere").exists()


def test_a_folder_in_its_place_is_refused(token):
    token.mkdir()
    is_refused(token, "file", "RAY_AUTH_TOKEN_PATH")


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_token_is_made_anew_and_a_clusters_is_refused(token, content):
    token.write_text(content)
    token.chmod(0o644)
    is_refused(token, "empty", make=False)
    assert token.read_text() == content
    assert guard() == []
    assert mode(token) == 0o600
    assert len(token.read_text()) == 64


def test_a_file_system_without_modes_is_refused(token, monkeypatch):
    token.write_text("secret")
    token.chmod(0o644)
    monkeypatch.setattr(Path, "chmod", lambda path, mode: None)
    is_refused(token, "permissions", "RAY_AUTH_TOKEN_PATH")


def test_a_token_that_anybody_may_replace_is_refused(token):
    guard()
    token.parent.chmod(0o777)
    is_refused(token, f"chmod o-w {token.parent}", "RAY_AUTH_TOKEN_PATH")
    token.parent.chmod(0o1777)  # as /tmp: nobody removes what is another's
    assert guard() == []


@root_only
def test_a_token_of_another_user_is_refused(token):
    token.write_text("secret")
    os.chown(token, 12345, 12345)
    is_refused(token, "another user", "RAY_AUTH_TOKEN_PATH")


@root_only
def test_a_link_that_another_user_made_is_refused(token, home):
    (home / "mine").write_text("secret")
    token.symlink_to(home / "mine")
    os.lchown(token, 12345, 12345)
    is_refused(token, "another user", "RAY_AUTH_TOKEN_PATH")


@root_only
@pytest.mark.parametrize(("permissions", "fine"), [(0o640, True), (0o644, False), (0o660, False)])
def test_a_token_of_root_may_be_there_for_a_group(token, monkeypatch, permissions, fine):
    token.write_text("secret")
    token.chmod(permissions)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    if fine:
        assert guard() == []
    else:
        is_refused(token, "root", "chmod o=", "RAY_AUTH_TOKEN_PATH")
    assert mode(token) == permissions


@pytest.mark.parametrize(("name", "value"), [("MODE", "disabled"), ("TOKEN", "secret")])
def test_nothing_is_made_where_the_file_is_not_read(home, monkeypatch, name, value):
    monkeypatch.setenv(f"RAY_AUTH_{name}", value)
    assert guard() == []
    assert list(home.iterdir()) == []


def test_none_is_made_for_a_cluster_and_one_that_is_asked_for_is_missed(token, monkeypatch):
    named = "RAY_AUTH_TOKEN_PATH" in os.environ
    if not named:
        assert guard(make=False) == []
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
    is_refused(token, "cluster's", make=False)
    assert not token.exists()


def test_a_misspelt_path_is_no_reason_to_make_folders(home, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "kye" / "token"))
    is_refused(home / "kye" / "token", "No such file or directory", "RAY_AUTH_TOKEN_PATH")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "absent/home"])
def test_a_home_in_which_no_token_can_be_made_is_one_line(home, monkeypatch, place):
    (home / "file").touch()
    monkeypatch.setenv("HOME", str(home / place))
    is_refused(home / place / ".ray" / "auth_token", "RAY_AUTH_TOKEN_PATH")


def test_the_token_is_looked_at_before_ray_starts(token, monkeypatch):
    monkeypatch.setattr("ray.init", lambda **given: pytest.fail("Ray was started"))
    token.mkdir()
    for address in ("local", "here:1"):
        where = connected(Resources(address, 1, 0.0, None))
        with refused(token, "file"), where:
            pass


# --- What else Ray needs of the environment


@pytest.mark.parametrize("over", [0, 1])
def test_a_path_too_long_for_sockets_is_refused_before_ray_is_asked(home, monkeypatch, over):
    """To the byte, as Ray itself counts."""
    session = cluster._SOCKET.format(os.getpid())
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # of this user alone
        place = Path(short, "y" * (107 + over - len(f"{short}//ray/{session}")))
        place.mkdir(mode=0o700)
        monkeypatch.setenv("RAY_TMPDIR", str(place))
        where = Resources("local", 1, 0.0, None)
        if not over:
            cluster.check_surroundings(where, lambda line: None)
            validate_socket_filepath(f"{place}/ray/{session}")
            return
        with pytest.raises(OSError, match="cannot exceed 107 bytes"):
            validate_socket_filepath(f"{place}/ray/{session}")
        with refused(place, 1, "RAY_TMPDIR"):
            cluster.check_surroundings(where, lambda line: None)


@pytest.mark.parametrize("where", ["file", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_without_its_mode_is_said_before_a_cluster_turns_us_away(token, monkeypatch, where):
    if where == "RAY_AUTH_TOKEN":
        monkeypatch.setenv(where, "0" * 64)
    else:
        token.write_text("0" * 64)
        token.chmod(0o600)
    if where == "RAY_AUTH_TOKEN_PATH":
        monkeypatch.setenv(where, str(token))
    there = Resources("here:1", 1, 0.0, None)
    with refused("export RAY_AUTH_MODE=token", "=disabled") as caught:
        cluster.check_surroundings(there, lambda line: None)
    assert "0" * 64 not in str(caught.value)
    for mode in ("token", "disabled"):
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
        cluster.check_surroundings(there, lambda line: None)
    monkeypatch.delenv("RAY_AUTH_MODE")
    cluster.check_surroundings(Resources("local", 1, 0.0, None), lambda line: None)


def test_no_home_at_all_is_said(monkeypatch):
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    with refused("HOME"):
        cluster.check_surroundings(Resources("local", 1, 0.0, None), lambda line: None)


def test_a_search_looks_at_its_surroundings_before_it_reads_images(
    token, tmp_path, capsys, monkeypatch
):
    token.mkdir()
    monkeypatch.setattr("trainable.data.sources._phantom", lambda *a: pytest.fail("images read"))
    assert main(["--dry-run", "--output", str(tmp_path / "o"), "--data", "phantom"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert tells(said, token)
    assert said.count("\n") == 1
