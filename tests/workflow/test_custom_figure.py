"""A study with a custom figure: redrawn when its code changes, and taken as it is from an archive."""

import shutil

from project_copy import copy_of_project

from studies import TINY_STUDY

FIGURE = {
    "kind": "own",
    "name": "gain",
    "table": "examples.own_figure.my_figures:gain_table",
    "draw": "examples.own_figure.my_figures:draw_gain",
}
CODE = "examples/own_figure/my_figures.py"


def test_a_custom_figure_follows_its_code_and_is_taken_from_an_archive_as_it_is(tiny_copy, tmp_path):
    tiny_copy.write_study(TINY_STUDY | {"figures": ["dynamics", FIGURE]})
    assert tiny_copy.planned("figures") == {"draw_figure": 2, "figures": 1}, (
        "one for each pair, and nothing else"
    )
    tiny_copy.run("figures")
    code = tiny_copy.folder / CODE
    code.write_text(f"{code.read_text()}# A comment.\n")
    tiny_copy.write_study(TINY_STUDY | {"figures": ["dynamics", FIGURE | {"caption": "Look here."}]})
    assert tiny_copy.planned("figures") == {}
    code.write_text(f"{code.read_text()}X = 1\n")
    assert tiny_copy.planned("figures") == {"draw_figure": 2, "figures": 1}

    made = tiny_copy.make("export", "STUDY=study.yaml")
    assert made.returncode == 0, made.stdout + made.stderr
    (tmp_path / "elsewhere").mkdir()
    elsewhere = copy_of_project(tmp_path / "elsewhere")
    shutil.copy(tiny_copy.folder / "results/tiny/tiny.zip", elsewhere.folder / "x.zip")
    (elsewhere.folder / CODE).write_text("open('ATTACKED', 'w')\n")
    drawn = elsewhere.make("report", "FROM=x.zip")
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    assert "identical, byte for byte" in drawn.stdout
    assert not (elsewhere.folder / "ATTACKED").exists()
    page = (elsewhere.folder / "results/tiny/report.html").read_text()
    assert "Look here." in page
