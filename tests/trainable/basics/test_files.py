"""The terminal and files that every room uses."""

import io
import subprocess
import sys

import pytest

from trainable.basics.files import name_fault, whole_file, whole_folder, write_whole
from trainable.basics.markdown import code, escaped
from trainable.basics.progress import stage
from trainable.basics.terminal import (
    command,
    make_console,
    printable,
    say,
    say_command,
    say_error,
)

# Names that people have, and names that break shells, markup and terminals.
NAMES = [
    "plain", "chest_xray (1)", "Röntgen", "a+b", "o'brien", "runs[old]", "[/x]", "[bold]x[/bold]",
    "$HOME $a$b `id`", ":skull: :x:", "50% off #1?", "-n", "~", "a\\b", 'say "hi"', "new\nline",
    "tab\there", "\x1b[31mred", "bell\x07'", "caf\udce9", "x" * 300, "肺炎", "",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_printed_command_gives_a_shell_back_its_words(name):
    line = command("printf", "%s\\0", name, f"--out={name}")
    pasted = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout
    assert pasted == b"\0".join(
        text.encode(errors="surrogateescape") for text in (name, f"--out={name}", "")
    )


def test_a_notebook_gets_plain_lines(monkeypatch):
    """Jupyter's kernel sets FORCE_COLOR; its cells cannot move a cursor."""
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("FORCE_COLOR", "1")
    console = make_console()
    with stage(console, "looking at frogs"):
        say(console, "[ap] green")
    assert stream.getvalue() == "[ap] green\n"
    assert make_console(force_terminal=True).is_terminal


@pytest.mark.parametrize("name", NAMES)
def test_a_terminal_shows_users_text_as_it_is(name):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    console = make_console(file=screen, force_terminal=True, width=40)
    say(console, name)
    say_command(console, "ls", name, note=f"to {name}")
    assert isinstance(screen.buffer, io.BytesIO)
    shown = screen.buffer.getvalue().decode()
    assert shown == f"{printable(name)}\n  {command('ls', name)}   # to {printable(name)}\n"
    assert "\x1b" not in shown


def test_control_characters_and_bytes_that_are_no_text_are_escaped():
    assert printable("a\x1b[2Jb\x9b caf\udce9\r") == r"a\x1b[2Jb\x9b caf\xe9\x0d"


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    write_whole(path, "é1")

    def fail():
        with whole_file(path) as part:
            part.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_text(encoding="utf-8") == "é1"
    assert list(tmp_path.iterdir()) == [path]
    with whole_file(path) as part:
        part.write_bytes(b"2")
        assert path.read_text(encoding="utf-8") == "é1"
    assert path.read_bytes() == b"2"


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "in" / "set"

    def fail():
        with whole_folder(path) as part:
            (part / "half").touch()
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert list(path.parent.iterdir()) == []
    with whole_folder(path) as part:
        (part / "1").touch()
        assert not path.exists()
    assert [p.name for p in path.iterdir()] == ["1"]

    def take():
        with whole_folder(path) as part:
            (part / "2").touch()

    with pytest.raises(OSError, match="not empty"):
        take()
    assert [p.name for p in path.parent.rglob("*")] == ["set", "1"]


def test_an_error_of_the_system_is_said_without_its_number(tmp_path, capsys):
    for error in (FileNotFoundError(2, "No such file", "a.png"), OSError(28, "Disk full")):
        say_error(error)
    say_error(OSError("away"))
    said = capsys.readouterr().err
    assert said == "error: No such file: a.png\nerror: Disk full\nerror: away\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_name_without_a_fault_is_one_folder_here(tmp_path, name):
    if name_fault(name) is None:
        (tmp_path / name).mkdir()
        assert [p.name for p in tmp_path.iterdir()] == [name]
    else:
        assert name in ("[/x]", "[bold]x[/bold]", "a\\b", "caf\udce9", "x" * 300, "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("chest_xray (1)", "chest_xray (1)"),
        ("p < 0.05 & more", "p < 0.05 & more"),
        ("_a_ *b* `c` [d](e)", r"\_a\_ \*b\* \`c\` \[d\](e)"),
        ("a|b\\", r"a\|b\\"),
        ("<b> </script> &lt;", "&lt;b> &lt;/script> &amp;lt;"),
        ("two\nlines\t\x1b[0m", r"two lines \\x1b\[0m"),
        ("$x$ ~~y~~", r"\$x\$ \~\~y\~\~"),
        ("COVID+ - # 1", "COVID+ - # 1"),
    ],
)
def test_text_in_markdown_is_what_it_was(text, said):
    assert escaped(text) == said


@pytest.mark.parametrize(
    ("text", "said"), [("a b", "`a b`"), ("a`b", "``a`b``"), ("a``", "``` a`` ```")]
)
def test_code_in_markdown_may_hold_backticks(text, said):
    assert code(text) == said
