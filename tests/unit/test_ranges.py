"""A checkpoint that is divided among jobs gives the counts of one job, to the last example."""

from contextlib import ExitStack
from itertools import product

import h5py
import numpy as np
import pytest
import torch

from latentgen.errors import DamagedFileError
from latentgen.networks.activation_files import PREDICTIONS, create, read_activations
from latentgen.networks.joined_files import JoinedGroup
from latentgen.networks.ranges import CHUNK_ITEMS, WHOLE, Range, most_ranges
from latentgen.probes.fits import Fits
from latentgen.probes.fitting import probe_activations
from latentgen.probes.ranges import fit_range, score_range
from latentgen.probes.stored import ClassGroup
from latentgen.probes.stored_classes import read_classes, write_classes
from latentgen.probes.stored_ranges import read_results
from latentgen.probes.subspace_probes import MASC, VeLPIC, decomposed
from latentgen.runtime.files import read_h5, write_h5

CPU, RUN = torch.device("cpu"), "digits-mlp-symmetric0.40-seed1"
N_CLASSES, EPOCHS, LAYERS = 5, (0, 12), ("wide", "narrow")
WIDTHS = {"wide": 40, "narrow": 9}
SIZES = {"train": 2600, "test": 1100, "held_out": 300}
PROBES = {
    "MASC": {"kind": "MASC", "variance": 0.9, "components": None},
    "MASC-2pc": {"kind": "MASC", "variance": None, "components": 2},
    "VeLPIC": {"kind": "VeLPIC", "sign": "all"},
    "nearest_mean": {"kind": "nearest_mean", "at": "ends"},
}


@pytest.fixture
def labels(numbers):
    """Return label vectors; no training example has the corrupted label 2."""
    true = {split: numbers.integers(N_CLASSES, size=size) for split, size in SIZES.items()}
    redrawn = numbers.random(SIZES["train"]) < 0.4
    corrupted = np.where(redrawn, 3, true["train"])
    corrupted[corrupted == 2] = 1
    return {
        "test": {"true": true["test"]},
        "train": {"corrupted": corrupted, "true": true["train"]},
        "train_redrawn": {"true": np.where(redrawn, true["train"], -1)},
        "held_out": {"corrupted": true["held_out"]},
    }


@pytest.fixture
def write(numbers, labels, tmp_path):
    """Return a function that writes the activations of a range of the examples, and its path."""
    whole = {}
    for epoch, layer in product(EPOCHS, LAYERS):
        centres = numbers.normal(size=(N_CLASSES, WIDTHS[layer]))
        for split, size in SIZES.items():
            of_class = centres[next(iter(labels[split].values()))]
            whole[f"{epoch}/{layer}/{split}"] = of_class + 2 * numbers.normal(size=(size, WIDTHS[layer]))
        whole[f"{epoch}/{PREDICTIONS}/test"] = numbers.integers(N_CLASSES, size=SIZES["test"])

    def write_range(of):
        path = tmp_path / f"activations-{of.position}-{of.n_ranges}.h5"
        with write_h5(path) as file:
            file.attrs["layers"], file.attrs["run"] = LAYERS, RUN
            for name, values in whole.items():
                part = values[of.examples(len(values))]
                if PREDICTIONS in name and len(part):
                    file[name] = part
                elif len(part):
                    create(file, name, part.shape, "float32")[...] = part
        return path

    return write_range


def divided(write, labels, fits, n_ranges, folder, **how):
    """Do what the jobs of a divided shard do, and return what the last of them found."""
    ranges = [Range(position, n_ranges) for position in range(n_ranges)]
    activations = [write(of) for of in ranges]
    classes, scores = ([folder / f"{kind}-{of.position}.h5" for of in ranges] for kind in ("c", "s"))
    room = how.get("room")
    for of, path in zip(ranges, classes, strict=True):
        with read_activations(activations, RUN) as joined, write_h5(path) as file:
            fit_range(file, joined, fits, of, CPU, room)
    for of, own, path in zip(ranges, activations, scores, strict=True):
        with read_activations(own, RUN) as stored, read_results(classes) as found, write_h5(path) as file:
            score_range(file, stored, labels, fits, of, found, CPU, room, how.get("count_train"))
    with read_activations(activations, RUN) as joined, read_results(classes, scores) as found:
        return probe_activations(joined, labels, fits, CPU, ranges=found, **how)


@pytest.mark.filterwarnings("ignore:1 of 5 classes")
@pytest.mark.parametrize(
    ("n_ranges", "how"), [(2, {}), (3, {}), (3, {"count_train": 40}), (3, {"count_train": 1, "room": 1})]
)
def test_ranges_give_the_rows_and_vectors_of_one_job(write, labels, numbers, tmp_path, n_ranges, how):
    others = {"corrupted0.80": numbers.integers(N_CLASSES, size=SIZES["train"])}
    probes = PROBES if "room" not in how else {name: PROBES[name] for name in PROBES if name[0] in "MV"}
    fits = Fits(N_CLASSES, probes, labels["train"], max(EPOCHS), others)
    with read_activations(write(WHOLE), RUN) as file:
        expected = probe_activations(file, labels, fits, CPU, **how)
    found = divided(write, labels, fits, n_ranges, tmp_path, **how)
    assert found.rows == expected.rows
    assert {row["fit_labels"] for row in found.rows} >= {"corrupted", "true", "corrupted0.80"}
    assert found.vectors.keys() == expected.vectors.keys()
    for name, vectors in expected.vectors.items():
        np.testing.assert_array_equal(found.vectors[name], vectors)
    assert (found.costs == [], expected.costs == []) == (True, "room" in how)


@pytest.mark.filterwarnings("ignore:1 of 5 classes")
def test_layers_without_probes_on_subspaces_are_not_divided(write, labels, tmp_path):
    """On one layer there is only another probe, which is fitted on all examples by the last job."""
    probes = {name: how | {"max_width": 20} for name, how in PROBES.items() if name != "nearest_mean"}
    fits = Fits(N_CLASSES, probes | {"nearest_mean": PROBES["nearest_mean"]}, labels["train"], max(EPOCHS))
    with read_activations(write(WHOLE), RUN) as file:
        expected = probe_activations(file, labels, fits, CPU)
    found = divided(write, labels, fits, 2, tmp_path)
    assert found.rows == expected.rows
    assert {row["probe"] for row in found.rows if row["layer"] == "wide"} == {"nearest_mean"}


def test_nothing_is_fitted_or_predicted_twice(write, labels, tmp_path, monkeypatch):
    """The job that joins ranges only counts."""
    probes = {name: PROBES[name] for name in ("MASC", "VeLPIC")}
    fits = Fits(N_CLASSES, probes, {"true": labels["train"]["true"]}, max(EPOCHS))
    calls = []
    for name in ("fit_stored", "predict_stored", "class_energies"):
        original = getattr(__import__("latentgen.probes.fitting", fromlist=[name]), name)
        monkeypatch.setattr(
            f"latentgen.probes.fitting.{name}",
            lambda *given, name=name, original=original: (calls.append(name), original(*given))[1],
        )
    ranges = divided(write, labels, fits, 3, tmp_path)
    assert ranges.rows
    n_fits = len(EPOCHS) * len(LAYERS)
    # Three splits, the two smaller ones of which are in two ranges and in one.
    assert calls.count("predict_stored") == n_fits * (3 + 2 + 1)
    assert calls.count("class_energies") == n_fits * 3
    assert "fit_stored" not in calls


@pytest.mark.parametrize("n", [1, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("n_ranges", [1, 2, 3, 7])
def test_ranges_have_every_example_and_class_once_and_begin_with_a_chunk(n, n_ranges):
    ranges = [Range(position, n_ranges) for position in range(n_ranges)]
    for parts in ([of.examples(n) for of in ranges], [of.classes(n) for of in ranges]):
        assert [i for part in parts for i in range(part.start, part.stop)] == list(range(n))
    assert all(of.examples(n).start in (n, *range(0, n, CHUNK_ITEMS)) for of in ranges)
    sizes = [of.examples(n).stop - of.examples(n).start for of in ranges]
    assert max(sizes) - min(sizes) <= 2 * CHUNK_ITEMS
    if n_ranges <= most_ranges(n, N_CLASSES):
        assert min(sizes) > 0


def test_a_damaged_range_is_named(write):
    paths = [write(Range(position, 3)) for position in range(3)]
    content = bytearray(paths[1].read_bytes())
    with h5py.File(paths[1]) as file:
        chunk = file["0/wide/train"].id.get_chunk_info(0)
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    paths[1].write_bytes(content)
    with pytest.raises(DamagedFileError) as refused, read_activations(paths, RUN) as joined:
        joined["0/wide/train"][...]
    assert refused.value.path == paths[1]


def test_a_range_of_another_run_is_refused(write):
    with (
        pytest.raises(DamagedFileError, match="holds activations of run"),
        read_activations([write(Range(0, 2)), write(Range(1, 2))], "digits-mlp-symmetric0.40-seed2"),
    ):
        pass


def test_joined_rows_are_those_of_one_file(write):
    paths = [write(Range(position, 3)) for position in range(3)]
    with read_activations(write(WHOLE), RUN) as whole, read_activations(paths, RUN) as joined:
        assert isinstance(joined, JoinedGroup)
        for name in ("0/wide/train", "12/narrow/test", "0/narrow/held_out", f"12/{PREDICTIONS}/test"):
            rows, expected = joined[name], whole[name]
            assert (rows.shape, rows.dtype, rows.nbytes) == (expected.shape, expected.dtype, expected.nbytes)
            for part in (slice(None), slice(0, 0), slice(1000, 1030), slice(1024, 2048), slice(2047, 10**6)):
                np.testing.assert_array_equal(rows[part], expected[part])
        assert set(joined["0/wide"]) == set(whole["0/wide"]) == set(SIZES)
        with pytest.raises(DamagedFileError, match="doesn't exist"):
            joined["0/none"]


def subspaces(numbers, n_classes=4):
    X = torch.from_numpy(numbers.normal(size=(60, 8)).astype("float32"))
    y = torch.from_numpy(numbers.integers(n_classes - 1, size=60))  # the last class has no examples
    return decomposed([MASC(0.9), VeLPIC()], [ClassGroup(slice(0, n_classes), X, y)])


def test_classes_are_read_as_they_were_written(numbers, tmp_path):
    found = [subspaces(numbers), subspaces(numbers)]
    assert any(s.complement is not None for of in found for s in of.subspaces)
    paths = [tmp_path / f"{index}.h5" for index in range(2)]
    for path, of in zip(paths, found, strict=True):
        with write_h5(path) as file:
            write_classes(file.create_group("0/fc/true"), of)
    with ExitStack() as opened:
        files = [opened.enter_context(read_h5(path)) for path in paths]
        read = read_classes([file["0/fc/true"] for file in files], CPU)
    expected = [subspace for of in found for subspace in of.subspaces]
    assert len(read.subspaces) == len(expected)
    for one, other in zip(read.subspaces, expected, strict=True):
        assert torch.equal(one.basis, other.basis)
        assert torch.equal(one.eigenvalues, other.eigenvalues)
        assert (one.complement is None) == (other.complement is None)
        assert one.complement is None or torch.equal(one.complement, other.complement)
        assert [getattr(one, name) for name in ("energy", "n_items", "route", "fell_back")] == [
            getattr(other, name) for name in ("energy", "n_items", "route", "fell_back")
        ]
    torch.testing.assert_close(read.means, torch.cat([of.means for of in found]), rtol=0, atol=0)
    assert torch.equal(read.counts, torch.cat([of.counts for of in found]))


def test_damaged_directions_are_refused(numbers, tmp_path):
    path = tmp_path / "classes.h5"
    with write_h5(path) as file:
        write_classes(file.create_group("0/fc/true"), subspaces(numbers))
    with h5py.File(path) as file:
        place = file["0/fc/true/directions"].id.get_offset() + 100
    content = bytearray(path.read_bytes())
    content[place] ^= 0x01
    path.write_bytes(content)
    with (
        pytest.raises(DamagedFileError, match="directions are not what was written"),
        read_h5(path) as file,
    ):
        read_classes([file["0/fc/true"]], CPU)
