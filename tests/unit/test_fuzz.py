"""Whatever a study file or an array file holds, it is read or refused in words; nothing crashes or hangs.

`LATENTGEN_FUZZ_EXAMPLES=20000 pytest tests/unit/test_fuzz*.py` looks for longer. What was found so has become
an example below.
"""

import copy
import gzip
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from official_formats import idx
from PIL import Image

from fuzzing import LONGEST_SECONDS, damaged, fuzz, or_refused, seconds_at_most
from latentgen.data.custom import check, read_custom_data
from latentgen.data.custom_sources.checks import checked_dataset
from latentgen.data.custom_sources.image_file import read_picture
from latentgen.data.custom_sources.raw import RawData
from latentgen.data.formats import parse_idx, read_gz
from latentgen.errors import LatentgenError
from latentgen.jobs.resources import job_size
from latentgen.study.config import load_study, read_study
from studies import SMALL_STUDY

PROJECT = Path(__file__).parents[2]


# --- Study files ----------------------------------------------------------------------------------

STUDIES = [
    SMALL_STUDY,
    *(
        yaml.safe_load((PROJECT / path).read_text())
        for path in (
            "config/paper-small.yaml",
            "examples/own-data/study.yaml",
            "examples/own_function/study.yaml",
            "examples/own_probe/study.yaml",
            "examples/own_figure/study.yaml",
        )
    ),
]

# The paper's experiments in one seed, and so quickly read.
STUDIES[1] |= {"seeds": [1], "noise": [{"kind": "symmetric", "p": [0, 0.4]}]}


def places(value, path=()):
    """Return the path of every value within a study file's content."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, below in inside for found in places(below, (*path, key)))]


def at(value, path):
    for part in path:
        value = value[part]
    return value


ALL_KEYS = sorted({str(path[-1]) for study in STUDIES for path in places(study) if path})
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.sampled_from([2**31, 2**32, 2**63, 10**12, 10**30, 10**400, -(10**30)]),
    st.floats(),
    st.sampled_from([1e-300, 5e-324, 1e300, 0.1 + 0.2, 0.00005]),
    st.text(max_size=6),
    st.sampled_from(["nan", "inf", "1e-3", "1_000", "0x10", "{seed", "{}", "\0", "é", "\ud800", "../x", "/"]),
    st.sampled_from(ALL_KEYS),
    st.lists(st.integers(-1, 3) | st.text(max_size=3) | st.floats(), max_size=4),
    st.dictionaries(
        st.text(max_size=4) | st.integers() | st.booleans() | st.none(), st.integers(), max_size=2
    ),
    st.binary(max_size=4),
    st.dates(),
    st.just({1, 2}),
)


@st.composite
def changed_studies(draw):
    """Draw a study file that is used here, changed in a few places."""
    study = copy.deepcopy(draw(st.sampled_from(STUDIES)))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(study)[1:] or [()]))
        if not path:
            break
        parent, key = at(study, path[:-1]), path[-1]
        match draw(st.sampled_from(["drop", "replace", "nest", "unnest", "repeat", "rename", "add"])):
            case "drop":
                del parent[key]
            case "replace":
                parent[key] = draw(ODD)
            case "nest":
                parent[key] = draw(
                    st.sampled_from([[parent[key]], {"kind": parent[key]}, {"name": parent[key]}])
                )
            case "unnest" if isinstance(parent[key], list | dict) and parent[key]:
                parent[key] = next(
                    iter(parent[key].values() if isinstance(parent[key], dict) else parent[key])
                )
            case "repeat" if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[key]))
            case "rename" if isinstance(parent, dict):
                parent[draw(st.sampled_from(ALL_KEYS) | st.text(max_size=4) | st.integers())] = parent.pop(
                    key
                )
            case "add" if isinstance(parent, dict):
                parent[draw(st.sampled_from(ALL_KEYS))] = draw(ODD)
    return study


def use(study):
    """Ask of a study what the Snakefile asks of it before it plans any job."""
    assert study.drawings is not None
    for run in study.runs.values():
        assert len(run.shards) >= 0
        if run.pair.training and not run.rewind:
            assert run.training
        if run.shards:
            for step in ("extract_activations", "fit_probes"):
                assert job_size(step, run).megabytes > 0
    study.model_dump(mode="json")


@fuzz
@given(changed_studies())
def test_any_settings_are_a_study_or_refused(given):
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        use(read_study(given))


@fuzz
@given(st.data())
def test_any_bytes_are_a_study_file_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "study.yaml"
    content = bytearray(yaml.safe_dump(data.draw(st.sampled_from(STUDIES))).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        inserted = data.draw(
            st.binary(max_size=3)
            | st.sampled_from(
                [
                    b"&a",
                    b"*a",
                    b"<<: *a\n",
                    b"!!python/object/apply:os.system ['x']",
                    b"!!set",
                    b"!!binary x",
                    b"---\n",
                    b"\t",
                    b"? ",
                    b"[" * 500,
                    b"{a: " * 500,
                    b"2026-02-30",
                    b"!!timestamp x",
                    b"!!int x",
                    b"!!float x",
                    b"!!bool x",
                    b".nan",
                    b"1:60:60",
                    b"!!omap",
                    b"%YAML 9.9\n---\n",
                    b"0b",
                    b"0x",
                    b"_",
                ]
            )
        )
        content[place : place + data.draw(st.integers(0, 3))] = inserted
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        use(load_study(path))


# --- Arrays ---------------------------------------------------------------------------------------


def arrays():
    rng = np.random.default_rng(0)
    return {
        "train_images": rng.integers(0, 256, (12, 5, 4), dtype=np.uint8),
        "train_labels": np.arange(12) % 3,
        "test_images": rng.integers(0, 256, (6, 5, 4), dtype=np.uint8),
        "test_labels": np.arange(6) % 3,
        "class_names": np.array(["a", "b", "c"]),
    }


def saved(save, **content):
    file = io.BytesIO()
    save(file, **content)
    return file.getvalue()


ARCHIVES = [saved(np.savez, **arrays()), saved(np.savez_compressed, **arrays())]


def npy(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), version)
    return file.getvalue()


@fuzz
@given(st.data())
def test_any_archive_is_a_data_set_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "arrays.npz"
    path.write_bytes(damaged(data.draw, data.draw(st.sampled_from(ARCHIVES))))
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        assert read_custom_data("mine", path).n_classes > 1


@fuzz
@given(st.data())
def test_any_npy_files_are_a_data_set_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "npy"
    folder.mkdir(exist_ok=True)
    for part, array in arrays().items():
        (folder / f"{part}.npy").write_bytes(npy(array))
    part = data.draw(st.sampled_from(sorted(arrays())))
    content = npy(arrays()[part], data.draw(st.sampled_from([(1, 0), (2, 0), (3, 0)])))
    (folder / f"{part}.npy").write_bytes(damaged(data.draw, content))
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        assert read_custom_data("mine", folder).n_classes > 1


def test_class_names_that_are_no_text_are_refused(tmp_path):
    names = np.frombuffer(b"\0\0a\0" * 3, "<U1")  # beyond the last character of Unicode
    np.savez(tmp_path / "mine.npz", **arrays() | {"class_names": names})
    with pytest.raises(LatentgenError, match=r"class_names in .* are not all text in UTF-8"):
        read_custom_data("mine", tmp_path / "mine.npz")


STRANGE = st.sampled_from(
    [
        np.zeros((0,)),
        np.zeros((0, 5, 4), np.uint8),
        np.array(3),
        np.array("x"),
        np.array([b"x"]),
        np.array(["2020-01-01"], "M8[D]"),
        np.zeros(12, [("a", "i4")]),
        np.zeros(12, bool),
        np.zeros(12, "c8"),
        np.full(12, np.nan),
        np.full(12, 2**63, np.uint64),
        np.full(12, -(2**63)),
        np.full(12, 2**62),
        np.zeros((12, 5, 4), np.float32),
        np.zeros((12, 5, 4, 2), np.uint8),
        np.zeros((12, 1, 1, 3), np.uint8),
        np.zeros((12, 5, 4), ">u2"),
        np.zeros((1,) * 30, np.uint8),
        np.zeros(12, np.uint64),
        np.array(["", "", ""]),
        np.array(["cat", "dog", "eel"] * 4),
        np.array([b"cat", b"\xff", b"eel"] * 4),
        np.array(["9" * 5000, "1", "2"] * 4),
        np.array(["a\0", "a", "\ud800"] * 4),
        np.eye(12),
        np.eye(12)[:, :3],
        np.arange(12)[:, None],
        np.arange(12) + 1,
        np.arange(12) * 2**40,
        np.where(np.arange(12) % 2, -1, 1),
        np.zeros((12, 3, 5, 4), np.uint8),
        np.zeros((12, 5, 4, 4), np.uint8),
        np.zeros((5, 4, 12), np.uint8),
        np.zeros((12, 16), np.uint8),
        np.full((12, 5, 4), np.inf),
        np.full((12, 5, 4), 2**63, np.uint64),
        np.zeros((12, 5, 4), bool),
        np.zeros((12, 5, 4), np.float16),
        np.zeros((12, 5, 4), "M8[s]"),
        np.zeros((12, 5, 4), "U1"),
        np.array([["a", "b", "c"]]),
        np.arange(12, dtype=np.float16),
        np.arange(12, dtype=">i8"),
    ]
)


@fuzz
@given(st.dictionaries(st.sampled_from(sorted(arrays())), STRANGE, min_size=1, max_size=3), st.booleans())
def test_any_arrays_are_a_data_set_or_refused(tmp_path_factory, strange, truth_known):
    path = tmp_path_factory.getbasetemp() / "strange.npz"
    np.savez(path, **(arrays() | strange))
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        assert read_custom_data("mine", path, truth_known).n_classes > 1


UNDIVIDED = {"images", "labels", "train_true_labels"}


@fuzz
@given(st.dictionaries(st.sampled_from(sorted({*arrays(), *UNDIVIDED})), STRANGE, min_size=1), st.booleans())
def test_any_dict_of_a_function_is_a_data_set_or_refused(returned, truth_known):
    """A function can return arrays of any kind, objects included."""
    parts = {part: array for part, array in returned.items() if part != "class_names"}
    for objects in (False, True):
        arrays_ = {part: array.astype(object) if objects else array for part, array in parts.items()}
        raw = RawData(arrays_, returned.get("class_names"))
        with or_refused(), seconds_at_most(LONGEST_SECONDS):
            assert checked_dataset("mine", raw, "m:f", truth_known).n_classes > 1


# --- Folders of images ----------------------------------------------------------------------------


def image_files():
    """Return the content of small images by suffix, in many formats and modes."""
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 4), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {}
    for suffix, image, options in (
        ("png", grey, {}), ("jpg", grey, {"exif": exif}), ("bmp", grey, {}), ("ppm", grey, {}),
        ("gif", grey, {}),
        ("tga", grey, {}), ("tiff", grey, {"compression": "tiff_lzw"}), ("tif", grey, {"exif": exif}),
        ("webp", grey, {}), ("avif", grey, {}), ("jp2", grey, {}),
        ("j2k", grey.convert("RGB"), {"no_jp2": True}),
        ("sgi", grey, {}), ("pcx", grey, {}), ("ico", grey, {"sizes": [(4, 4)]}), ("dds", grey, {}),
        ("pgm", grey.convert("I;16"), {}), ("mpo", grey, {"save_all": True, "append_images": [grey]}),
        ("apng", grey, {"format": "PNG", "save_all": True, "append_images": [grey.rotate(180)]}),
        ("jpeg", grey.convert("CMYK"), {}), ("jfif", grey.convert("YCbCr"), {}),
        ("qoi", grey.convert("RGBA"), {}), ("pfm", grey.convert("F"), {}), ("xbm", grey.convert("1"), {}),
    ):  # fmt: skip
        content = io.BytesIO()
        image.save(content, **{"format": Image.registered_extensions()[f".{suffix}"]} | options)
        files[suffix] = content.getvalue()
    return files


IMAGE_FILES = image_files()


@fuzz
@given(st.data())
@pytest.mark.filterwarnings("ignore")
def test_any_image_file_is_an_image_or_refused(tmp_path_factory, data):
    suffix = data.draw(st.sampled_from(sorted(IMAGE_FILES)))
    path = (
        tmp_path_factory.getbasetemp()
        / f"image.{data.draw(st.sampled_from(sorted(IMAGE_FILES)) | st.just(suffix))}"
    )
    path.write_bytes(damaged(data.draw, IMAGE_FILES[suffix]))
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        picture = read_picture(path)
        assert picture is None or picture.pixels.dtype in (np.uint8, np.uint16)
        assert picture is None or picture.pixels.ndim in (2, 3)


FOLDERS = st.sampled_from(
    ["train", "Train", "test", "TESTING", "val", "valid", "cat", "dog", "0", "1", "10", "2", "__MACOSX",
     ".x", "cafe\u0301", "caf\u00e9", "NA", "a b", "#1", "{x}", "Thumbs.db", "images.npy", "\udcff"]
)  # fmt: skip


@fuzz
@given(st.lists(st.tuples(st.lists(FOLDERS, max_size=3), st.sampled_from(sorted(IMAGE_FILES))), max_size=40))
@pytest.mark.filterwarnings("ignore")
def test_any_folder_is_a_data_set_or_refused(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("folder")
    for number, (folders, suffix) in enumerate(files):
        folder = root.joinpath(*folders)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.{suffix}").write_bytes(IMAGE_FILES[suffix])
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        assert b"own:" in check(str(root)).encode()
    shutil.rmtree(root)


IDX = idx(np.random.default_rng(0).integers(0, 256, (9, 5, 4), dtype=np.uint8))


@fuzz
@given(st.data(), st.booleans())
def test_any_idx_file_is_an_array_or_refused(tmp_path_factory, data, compressed):
    path = tmp_path_factory.getbasetemp() / f"images{'.gz' if compressed else ''}"
    path.write_bytes(damaged(data.draw, gzip.compress(IDX) if compressed else IDX))
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        assert parse_idx(read_gz(path), str(path)).size > 0
