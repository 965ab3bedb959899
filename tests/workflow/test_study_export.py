"""From a finished study to an archive, and from the archive to the same figures on another machine."""

import hashlib
import json
import zipfile

import pytest


@pytest.fixture(scope="module")
def archive(tiny):
    done = tiny.make("export", "STUDY=study.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    return tiny.folder / "results/tiny/tiny.zip"


def test_the_archive_lists_every_file_with_its_checksum(tiny, archive):
    with zipfile.ZipFile(archive) as file:
        manifest = json.loads(file.read("manifest.json"))
        for name, of in manifest["files"].items():
            assert hashlib.sha256(file.read(name)).hexdigest() == of["sha256"]
    figures = {f"figures/{path.name}" for path in (tiny.folder / "results/tiny/figures").glob("[!.]*")}
    tables = {f"tables/{path.name}" for path in (tiny.folder / "results/tiny/tables").glob("[!.]*")}
    pngs = {name for name in figures if name.endswith(".png")}
    assert set(manifest["files"]) == {"study.json"} | tables | (figures - pngs)
    assert set(manifest["redrawn"]) == pngs
    assert archive.stat().st_size < 5_000_000


def test_figures_are_drawn_from_the_archive_without_data_torch_or_training(tiny, archive, empty_copy):
    scripts = empty_copy.folder / "workflow/scripts"
    for forbidden in ("torch", "torchvision"):  # found before the real ones by whatever imports them
        (scripts / f"{forbidden}.py").write_text(f"raise ImportError('{forbidden} was imported')")
    done = empty_copy.make("figures", f"FROM={archive}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "are identical, byte for byte" in done.stdout
    results = empty_copy.folder / "results"
    drawn = {path.name: path.read_bytes() for path in (results / "tiny/figures").glob("[!.]*")}
    assert drawn == {
        path.name: path.read_bytes() for path in (tiny.folder / "results/tiny/figures").glob("[!.]*")
    }
    assert sorted(path.name for path in results.iterdir()) == ["tiny"]
    assert not (results / "tiny/runs").exists()
    assert "Nothing to be done" in empty_copy.make("figures", f"FROM={archive}").stderr


def test_a_damaged_archive_is_refused_before_anything_is_written(archive, empty_copy):
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = empty_copy.folder / "damaged.zip"
    damaged.write_bytes(content)
    done = empty_copy.make("figures", f"FROM={damaged}")
    assert done.returncode != 0
    assert f"latentgen: {damaged}" in done.stderr
    assert "Get it again" in done.stderr or "get it again" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (empty_copy.folder / "results").exists()


def test_provenance_says_what_the_study_was_made_with(tiny):
    said = json.loads((tiny.folder / "results/tiny/tables/provenance.json").read_text())
    assert {"numpy", "torch", "snakemake"} <= set(said["packages"])
    assert said["datasets"]["digits_400x120"]["source"].startswith("scikit-learn")
    assert said["datasets"]["digits_400x120"]["checksums"].keys() == {"images", "labels"}
    assert said["steps"]["train"]["jobs"] == 4
    assert said["steps"]["train"]["seconds"] > 0
    assert said["kept_bytes"]["runs"] > 10_000
    assert said["commit"] is None, "the copy of the project that the tests run in is no repository"
