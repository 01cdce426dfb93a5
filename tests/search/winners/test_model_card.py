"""The champion's card says what is known of it, and what it is not for."""

from __future__ import annotations

from search.study.gates import GATES
from search.winners.model_card import card
from tests.helpers.refusals import tells
from trainable.generators.weights_file import GeneratorRecord
from trainable.tracking.names import gate_limit

ABOUT: GeneratorRecord = {
    "study": "s", "trial": 7, "classes": ["normal", "ill"], "latent_size": 8,
    "task": {"image_size": 64, "channels": 1, "images": 200},
    "settings": {"data": "small", "data_digest": "0123456789abcdef", "protocol": "tiny/1"},
    "scores": {
        "fresh_fid_mean": 52.25, "fresh_fid_low": 50.0, "fresh_fid_high": 55.5,
        "fresh_cas_mean": 0.925, "fresh_cas_low": 0.91, "fresh_cas_high": 0.94,
        "fid_over_floor": 1.5, "gates_failed": 0.0, "fresh_images": 2000.0,
        "fresh/copy_rate": 0.0125, "fresh/diversity": 0.93, "fresh/fid/1": 66.5,
    },
    "params": {"g_lr": 0.002, "activation": "relu"},
}  # fmt: skip


def beginning(lines: list[str], so: str) -> str:
    (line,) = [line for line in lines if line.startswith(so)]
    return line


def test_the_card_says_what_is_known():
    lines = card(ABOUT).splitlines()
    assert lines[0].startswith("# ")
    assert tells(lines[0], "study s", "trial 7")
    assert tells(lines[2], "grey", "64 x 64", "normal, ill", "200 images", "small", "0123456789ab")
    assert "| FID | 52.25 | 50 to 55.5 |" in lines
    assert "| CAS | 0.925 | 0.91 to 0.94 |" in lines
    assert tells(beginning(lines, "| FID over the floor"), "| 1.50 |")
    assert tells(beginning(lines, "| fid of ill"), "2000 images", "| 66.5 |")
    assert tells(beginning(lines, "- copy rate"), 0.0125, 0.25)
    assert tells(beginning(lines, "- within-class diversity"), 0.93, 0.82)
    assert lines.index("| activation | relu |") < lines.index("| g_lr | 0.002 |")
    assert any("**Not for diagnosis**" in line for line in lines)
    assert len([line for line in lines if line.startswith("- ")]) == 2 < len(GATES)


def test_a_gate_that_the_default_moved_stands_where_it_did():
    scores = {**ABOUT["scores"], gate_limit("diversity"): 0.71}
    lines = card({**ABOUT, "scores": scores}).splitlines()
    assert tells(beginning(lines, "- within-class diversity"), 0.93, "at least 0.71")


def test_a_card_of_before_had_the_number_of_images_in_the_names():
    former = {k.replace("fresh/", "fresh_2000/"): v for k, v in ABOUT["scores"].items()}
    del former["fresh_images"]
    assert card({**ABOUT, "scores": former}) == card(ABOUT)


def test_names_of_classes_are_no_markup():
    classes = ["`a`|*b*", "<b>\n[x](y)"]
    said = card({**ABOUT, "classes": classes})
    first, second = r"\`a\`\|\*b\*", r"&lt;b> \[x\](y)"
    assert f"classes {first}, {second}, " in said
    assert tells(beginning(said.splitlines(), f"| fid of {second}, "), "| 66.5 |")


def test_patients_are_mentioned_where_there_are_some():
    assert card({**ABOUT, "of_patients": True}) == card(ABOUT)
    flowers = card({**ABOUT, "of_patients": False})
    assert "diagnosis" not in flowers
    assert "patient" not in flowers
    assert tells(flowers, "synthetic", "bias")


def test_of_a_run_that_says_little_a_card_comes_too():
    bare: GeneratorRecord = {**ABOUT, "settings": {}, "scores": {}}
    assert tells(card(bare), "200 images", "unknown")
