"""An archive gives back what was packed, or is refused in words: never anything else, and never elsewhere."""

import hashlib
import json
import zipfile

import pytest

from latentgen.errors import LatentgenError
from latentgen.report.archive import MANIFEST, compare_figures, pack_study, read_archive, unpack_study
from latentgen.study.config import read_study
from latentgen.study.layout import TABLES

STUDY = read_study(
    {
        "study": "small",
        "seeds": [1],
        "noise": [{"kind": "symmetric", "p": [0.4]}],
        "pairs": [
            {
                "dataset": "digits",
                "model": {"architecture": "MLP"},
                "training": {
                    "optimizer": {"name": "SGD", "learning_rate": 0.1},
                    "batch_size": 32,
                    "max_epochs": 2,
                },
            }
        ],
    }
).model_dump(mode="json")
FIGURE = "final-digits-mlp"


@pytest.fixture
def archive(tmp_path):
    files = [tmp_path / "made/tables" / name for name in TABLES]
    files += [tmp_path / f"made/figures/{FIGURE}.{suffix}" for suffix in ("pdf", "png", "csv")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"content of {file.name}")
    pack_study(tmp_path / "small.zip", STUDY, files)
    return tmp_path / "small.zip"


def rewrite(archive, change):
    """Write an archive anew with changed contents; the manifest is one of them."""
    with zipfile.ZipFile(archive) as old:
        contents = {name: old.read(name) for name in old.namelist()}
    change(contents)
    with zipfile.ZipFile(archive, "w") as new:
        for name, content in contents.items():
            new.writestr(name, content)


def listing(contents, change):
    manifest = json.loads(contents[MANIFEST])
    change(manifest)
    contents[MANIFEST] = json.dumps(manifest).encode()


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_tables_and_study_come_back_and_figures_stay_to_be_drawn(archive, tmp_path):
    study = unpack_study(archive, tmp_path / "there")
    assert study == tmp_path / "there/results/small/study.json"
    assert json.loads(study.read_text()) == STUDY
    assert files_in(study.parent) == sorted(["study.json", *(f"tables/{name}" for name in TABLES)])
    assert (study.parent / "tables/summary.csv").read_text() == "content of summary.csv"


def test_equal_contents_give_equal_bytes_at_any_time(archive, tmp_path):
    before = archive.read_bytes()
    files = sorted((tmp_path / "made").rglob("*.*"), reverse=True)
    for file in files:
        file.write_bytes(file.read_bytes())  # a later time
    pack_study(archive, STUDY, files)
    assert archive.read_bytes() == before


def test_unpacking_twice_changes_no_file(archive, tmp_path):
    study = unpack_study(archive, tmp_path)
    before = {file: file.stat().st_mtime_ns for file in study.parent.rglob("*")}
    unpack_study(archive, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in study.parent.rglob("*")} == before


def test_nothing_that_is_there_is_overwritten(archive, tmp_path):
    table = tmp_path / "results/small/tables/summary.csv"
    table.parent.mkdir(parents=True)
    table.write_text("mine")
    with pytest.raises(LatentgenError, match=r"summary\.csv differ from those in .* Move"):
        unpack_study(archive, tmp_path)
    assert files_in(tmp_path / "results") == ["small/tables/summary.csv"]
    assert table.read_text() == "mine"
    table.unlink()
    (tmp_path / "results/small/runs").mkdir()
    with pytest.raises(LatentgenError, match="already has runs of a study of this name"):
        unpack_study(archive, tmp_path)
    assert files_in(tmp_path / "results") == []


@pytest.mark.parametrize(
    "name",
    [
        "../outside", "/etc/outside", "tables/../../outside", "tables/a/b", "C:\\outside", "tables\\outside",
        "runs/outside", "tables/.hidden", "tables/", "tables/new\nline",
    ],
)  # fmt: skip
def test_a_file_without_a_place_in_a_study_is_refused(archive, tmp_path, name):
    def add(contents):
        contents[name] = b"x"
        listing(contents, lambda manifest: manifest["files"].update({name: {"bytes": 1, "sha256": "0" * 64}}))

    rewrite(archive, add)
    with pytest.raises(LatentgenError, match="does not belong to a study"):
        unpack_study(archive, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_what_manifest_and_archive_do_not_share_is_listed(archive):
    rewrite(archive, lambda contents: contents.update({"tables/new.csv": b"x"}))
    with pytest.raises(LatentgenError, match=r"does not hold what its manifest lists: see tables/new\.csv"):
        read_archive(archive)


def test_an_archive_without_a_table_is_refused(archive):
    def drop(contents):
        del contents["tables/summary.csv"]
        listing(contents, lambda manifest: manifest["files"].pop("tables/summary.csv"))

    rewrite(archive, drop)
    with pytest.raises(LatentgenError, match=r"lacks tables/summary\.csv"):
        read_archive(archive)


def test_a_changed_file_is_named(archive):
    rewrite(archive, lambda contents: contents.update({"tables/summary.csv": b"content of summary.CSV"}))
    with pytest.raises(LatentgenError, match=r"damaged: the checksums of tables/summary\.csv are not"):
        read_archive(archive)


def test_no_more_is_read_than_the_manifest_says(archive):
    rewrite(archive, lambda contents: contents.update({"tables/summary.csv": bytes(50_000_000)}))
    with pytest.raises(LatentgenError, match="damaged"):
        read_archive(archive)

    def huge(manifest):
        manifest["files"]["tables/summary.csv"]["bytes"] = 10**12

    rewrite(archive, lambda contents: listing(contents, huge))
    with pytest.raises(LatentgenError, match="more than any study"):
        read_archive(archive)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("bytes", -(10**12), "must be a whole number from 0"),
        ("bytes", "12", "must be a whole number from 0"),
        ("bytes", 1.5, "must be a whole number from 0"),
        ("bytes", True, "must be a whole number from 0"),
        ("sha256", None, "must be 64 hexadecimal digits"),
        ("sha256", "ab", "must be 64 hexadecimal digits"),
    ],
)
def test_a_manifest_with_an_impossible_value_is_refused(archive, field, value, message):
    def change(manifest):
        manifest["files"]["tables/summary.csv"][field] = value

    rewrite(archive, lambda contents: listing(contents, change))
    with pytest.raises(LatentgenError, match=message):
        read_archive(archive)


def test_another_format_is_refused(archive):
    rewrite(archive, lambda contents: listing(contents, lambda manifest: manifest.update(format="other")))
    with pytest.raises(LatentgenError, match="its format is 'other'"):
        read_archive(archive)


def test_without_the_study_that_it_compares_with_an_archive_is_refused(archive, tmp_path):
    def compare(contents):
        study = json.dumps(STUDY | {"compare_with": "results/other/tables"}).encode()
        contents["study.json"] = study
        entry = {"bytes": len(study), "sha256": hashlib.sha256(study).hexdigest()}
        listing(contents, lambda manifest: manifest["files"].update({"study.json": entry}))

    rewrite(archive, compare)
    with pytest.raises(LatentgenError, match=r"lacks tables/beside\.parquet"):
        unpack_study(archive, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_another_format_version_is_refused(archive):
    rewrite(archive, lambda contents: listing(contents, lambda manifest: manifest.update(format_version=2)))
    with pytest.raises(LatentgenError, match="has format version 2; this latentgen reads 1"):
        read_archive(archive)


def test_every_damage_is_either_refused_in_words_or_changes_nothing(archive):
    """Every third byte of the archive is changed in turn, and the archive is cut at many lengths."""
    whole, contents = archive.read_bytes(), read_archive(archive)
    damaged = [whole[:place] + bytes([byte ^ 0x55]) + whole[place + 1 :] for place, byte in enumerate(whole)][
        ::3
    ]
    damaged += [whole[:length] for length in range(0, len(whole), 7)]
    said = []
    for content in damaged:
        archive.write_bytes(content)
        try:
            found = read_archive(archive)
        except LatentgenError as error:
            said.append(str(error))
        else:
            assert found == contents
    assert len(said) > 0.8 * len(damaged)
    assert all(str(archive) in message for message in said)


def test_missing_and_strange_files_are_refused(tmp_path):
    with pytest.raises(LatentgenError, match=r"none\.zip does not exist"):
        read_archive(tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(LatentgenError, match=r"text\.zip cannot be read as the archive of a study"):
        read_archive(tmp_path / "text.zip")


def test_what_is_redrawn_leaves_its_png_out(archive):
    with zipfile.ZipFile(archive) as file:
        names, manifest = file.namelist(), json.loads(file.read(MANIFEST))
    assert {name for name in names if "figures/" in name} == {
        f"figures/{FIGURE}.pdf",
        f"figures/{FIGURE}.csv",
    }
    assert manifest["redrawn"] == {
        f"figures/{FIGURE}.png": {
            "bytes": len(f"content of {FIGURE}.png"),
            "sha256": hashlib.sha256(f"content of {FIGURE}.png".encode()).hexdigest(),
        }
    }


def test_a_figure_without_its_code_keeps_its_png(archive, tmp_path):
    other = tmp_path / "made/figures/custom.png"
    other.write_text("drawn by custom code")
    pack_study(archive, STUDY, [*(tmp_path / "made/tables").iterdir(), other])
    assert read_archive(archive)["figures/custom.png"] == b"drawn by custom code"


@pytest.mark.parametrize("name", ["../escaped.png", "figures/../../escaped.png", "runs/a.png"])
def test_a_redrawn_file_elsewhere_is_refused(archive, name):
    def change(contents):
        listing(
            contents, lambda manifest: manifest["redrawn"].update({name: {"bytes": 1, "sha256": "0" * 64}})
        )

    rewrite(archive, change)
    with pytest.raises(LatentgenError, match="does not belong to a study"):
        read_archive(archive)


def test_an_archive_with_all_its_png_is_read(archive, tmp_path):
    """As written before PNGs were left out."""

    def change(contents):
        content = f"content of {FIGURE}.png".encode()
        contents[f"figures/{FIGURE}.png"] = content
        listing(
            contents,
            lambda manifest: manifest["files"].update(
                {f"figures/{FIGURE}.png": manifest.pop("redrawn")[f"figures/{FIGURE}.png"]}
            ),
        )

    rewrite(archive, change)
    assert f"figures/{FIGURE}.png" in read_archive(archive)


def test_figures_are_compared_byte_for_byte(archive, tmp_path):
    figures = unpack_study(archive, tmp_path).parent / "figures"
    with pytest.raises(LatentgenError, match=rf"lacks figures/{FIGURE}\.csv, figures/{FIGURE}\.pdf"):
        compare_figures(archive, tmp_path)
    figures.mkdir()
    for suffix in ("pdf", "png", "csv"):
        (figures / f"{FIGURE}.{suffix}").write_text(f"content of {FIGURE}.{suffix}")
    assert len(compare_figures(archive, tmp_path)) == 3
    (figures / f"{FIGURE}.png").write_text(f"content of {FIGURE}.PNG")
    with pytest.raises(LatentgenError, match=rf"not identical, byte for byte, .*: figures/{FIGURE}\.png"):
        compare_figures(archive, tmp_path)
