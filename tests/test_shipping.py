"""Code that travels: all of it, nothing else, and a digest that tells when it differs."""

import subprocess
import sys

from trainable.shipping import PACKAGES, code_digest, copy_code


def test_a_copy_runs_alone_and_has_the_digest_of_its_original(tmp_path):
    copy_code(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(PACKAGES)
    assert code_digest(tmp_path) == code_digest()
    assert not list(tmp_path.rglob("__pycache__"))
    script = "import trainable.shipping as s, search.nodes; print(s.__file__, s.code_digest())"
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()  # what runs there has left compiled files, which do not count
    assert said == [str(tmp_path / "trainable" / "shipping.py"), code_digest()]


def test_one_changed_byte_a_moved_file_or_a_new_one_are_seen(tmp_path):
    copy_code(tmp_path)
    path = tmp_path / "trainable" / "losses.py"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b" ")
    assert code_digest(tmp_path) != code_digest()
    path.write_bytes(content)
    assert code_digest(tmp_path) == code_digest()
    path.rename(path.with_name("lost.py"))
    assert code_digest(tmp_path) != code_digest()
    path.with_name("lost.py").rename(path)
    (tmp_path / "spaces" / "extra.py").write_bytes(b"")
    assert code_digest(tmp_path) != code_digest()
