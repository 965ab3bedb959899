"""Probing stored activations: every row, and every count as the plain definitions have it."""

from itertools import product

import h5py
import numpy as np
import pytest
import torch

import latentgen.probes.fitting
from latentgen.data.labels import Labels, evaluation_labels
from latentgen.networks.activation_files import PREDICTIONS, create
from latentgen.probes.correctness import MOST_CONFUSED, confusion
from latentgen.probes.fits import Fits
from latentgen.probes.fitting import counted_examples, probe_activations
from reference_probes import clear, components_for, eigen, masc_scores, velpic_scores, velpic_vectors

N_CLASSES, EPOCHS, LAYERS = 4, (0, 12), ("wide", "narrow")
WIDTHS = {"wide": 90, "narrow": 9}
SIZES = {"train": 70, "test": 33}
PROBES = {
    "MASC": {"kind": "MASC", "variance": 0.9, "components": None},
    "MASC-2pc": {"kind": "MASC", "variance": None, "components": 2},
    "VeLPIC": {"kind": "VeLPIC"},
}
EVALUATED = [("test", "true"), ("train", "corrupted"), ("train", "true")]


@pytest.fixture
def labels(numbers):
    """Return label vectors; no training item has the corrupted label 2."""
    true = {split: numbers.integers(N_CLASSES, size=size) for split, size in SIZES.items()}
    corrupted = np.where(numbers.random(SIZES["train"]) < 0.4, 3, true["train"])
    corrupted[corrupted == 2] = 1
    return {"test": {"true": true["test"]}, "train": {"corrupted": corrupted, "true": true["train"]}}


@pytest.fixture
def activations(numbers, labels, tmp_path):
    """Return a file of activations in which classes differ."""
    with h5py.File(tmp_path / "activations.h5", "w") as file:
        file.attrs["layers"] = LAYERS
        for epoch, layer in product(EPOCHS, LAYERS):
            centres = numbers.normal(size=(N_CLASSES, WIDTHS[layer]))
            for split, size in SIZES.items():
                X = centres[labels[split]["true"]] + numbers.normal(size=(size, WIDTHS[layer]))
                create(file, f"{epoch}/{layer}/{split}", X.shape, "float32")[...] = np.maximum(X, 0)
        yield file


def probed(activations, labels, probes=PROBES, fit_labels=None, final_epoch=EPOCHS[-1], at_end=None, **how):
    fits = Fits(N_CLASSES, probes, fit_labels or labels["train"], final_epoch, at_end or {})
    return probe_activations(activations, labels, fits, torch.device("cpu"), **how)


@pytest.mark.filterwarnings("ignore:1 of 4 classes")
def test_there_is_one_row_for_everything_in_the_order_of_the_network(activations, labels):
    rows = probed(activations, labels).rows
    keys = [tuple(row[key] for key in ("epoch", "layer", "fit_labels", "probe")) for row in rows]
    wanted = product(EPOCHS, LAYERS, ("corrupted", "true"), PROBES)
    assert set(keys) == set(wanted)
    assert len(rows) == len(set(keys)) * len(EVALUATED)
    assert [(key[0], key[1]) for key in dict.fromkeys((row["epoch"], row["layer"]) for row in rows)] == list(
        product(EPOCHS, LAYERS)
    )
    for key in set(keys):
        measured = [(r["split"], r["eval_labels"]) for r, k in zip(rows, keys, strict=True) if k == key]
        assert sorted(measured) == EVALUATED
    assert all(row["total"] == SIZES[row["split"]] for row in rows)


@pytest.mark.filterwarnings("ignore:1 of 4 classes")
def test_counts_are_those_of_the_plain_definitions(activations, labels):
    results = probed(activations, labels)
    compared = 0
    for epoch, layer, fit in product(EPOCHS, LAYERS, ("corrupted", "true")):
        X = {split: activations[f"{epoch}/{layer}/{split}"][...] for split in SIZES}
        classes = eigen(X["train"], labels["train"][fit], N_CLASSES)
        k = [components_for(c.values, 0.9) if c else 0 for c in classes]
        vectors = velpic_vectors(classes, X["train"], labels["train"][fit])
        scores = {
            "MASC": lambda X, classes=classes, k=k: masc_scores(classes, k, X),
            "MASC-2pc": lambda X, classes=classes: masc_scores(classes, [2] * N_CLASSES, X),
            "VeLPIC": lambda x, classes=classes, vectors=vectors: velpic_scores(classes, vectors, x),
        }
        for row in results.rows:
            if (row["epoch"], row["layer"], row["fit_labels"]) != (epoch, layer, fit):
                continue
            found = scores[row["probe"]](X[row["split"]])
            assert clear(found).all()
            expected = labels[row["split"]][row["eval_labels"]]
            assert row["correct"] == (found.argmax(1) == expected).sum()
            of_class = [(found.argmax(1) == expected)[expected == c] for c in range(N_CLASSES)]
            assert row["class_correct"] == " ".join(str(of.sum()) for of in of_class)
            assert row["class_total"] == " ".join(str(len(of)) for of in of_class)
            if (epoch, fit, row["split"]) == (max(EPOCHS), "corrupted", "test"):
                rows = [
                    np.bincount(found.argmax(1)[expected == c], minlength=N_CLASSES) for c in range(N_CLASSES)
                ]
                assert row["confusion"] == ";".join(" ".join(map(str, of)) for of in rows)
            else:
                assert row["confusion"] is None
            used = [n for n in {"MASC": k, "MASC-2pc": [2, 2, 2, 2], "VeLPIC": [1, 1, 1, 1]}[row["probe"]]]
            used = [n for n, c in zip(used, classes, strict=True) if c]
            assert row["components_min"] == min(used)
            assert row["components_max"] == max(used)
            assert row["components_mean"] == pytest.approx(np.mean(used))
            assert row["missing_classes"] == (1 if fit == "corrupted" else 0)
            compared += 1
        written = results.vectors[f"{epoch}/{layer}/{fit}"]
        assert written.dtype == np.float32
        np.testing.assert_allclose(written, vectors, atol=1e-5)
    assert compared == len(results.rows)
    assert len(results.vectors) == len(EPOCHS) * len(LAYERS) * 2


@pytest.mark.filterwarnings("ignore:1 of 4 classes")
def test_both_signs_of_velpic_are_counted_and_transfer_gets_the_plain_one(activations, labels):
    all_signs = {"kind": "VeLPIC", "sign": "all", "name": "VeLPIC-all"}
    results = probed(
        activations, labels, probes={"VeLPIC": PROBES["VeLPIC"], "VeLPIC-all": all_signs, **PROBES}
    )
    plain = probed(activations, labels)
    assert list(results.vectors) == list(plain.vectors)
    for place, vectors in results.vectors.items():
        np.testing.assert_array_equal(vectors, plain.vectors[place])
    for row in results.rows:
        X = activations[f"{row['epoch']}/{row['layer']}/train"][...]
        fitted = labels["train"][row["fit_labels"]]
        classes = eigen(X, fitted, N_CLASSES)
        differ = velpic_vectors(classes, X, fitted, "own") != velpic_vectors(classes, X, fitted, "all")
        expected = differ.any(axis=1).sum() if row["probe"].startswith("VeLPIC") else None
        assert row["signs_against_mean"] == expected


def test_only_what_was_asked_for_is_done(activations, labels):
    masc = {"MASC": PROBES["MASC"]}
    results = probed(activations, labels, probes=masc, fit_labels={"true": labels["train"]["true"]})
    assert {(row["probe"], row["fit_labels"]) for row in results.rows} == {("MASC", "true")}
    assert results.vectors == {}


@pytest.mark.filterwarnings("ignore:1 of 4 classes")
def test_further_labels_are_fitted_at_the_end_with_subspaces_alone(activations, labels, numbers):
    probes = {**PROBES, "nearest_mean": {"kind": "nearest_mean"}}
    others = {"corrupted0.60": numbers.permutation(labels["train"]["corrupted"])}
    more = probed(activations, labels, probes=probes, at_end=others)
    plain = probed(activations, labels, probes=probes)
    further = [row for row in more.rows if row["fit_labels"] == "corrupted0.60"]
    assert [row for row in more.rows if row not in further] == plain.rows
    assert {(row["epoch"], row["probe"]) for row in further} == {(max(EPOCHS), probe) for probe in PROBES}
    assert list(more.vectors) == list(plain.vectors)
    fitted = probed(activations, labels, fit_labels=others).rows
    assert further == [row for row in fitted if row["epoch"] == max(EPOCHS)]


def test_the_networks_own_predictions_are_counted_by_class_whether_or_not_a_probe_is_due(
    activations, labels, numbers
):
    predicted = {epoch: numbers.integers(N_CLASSES, size=SIZES["test"]) for epoch in EPOCHS}
    for epoch, classes in predicted.items():
        activations[f"{epoch}/{PREDICTIONS}/test"] = classes
    narrow = {"MASC": PROBES["MASC"] | {"max_width": 1}}
    for probes in (PROBES, narrow):
        rows = probed(activations, labels, probes=probes).rows
        assert len({tuple(sorted(row)) for row in rows}) == 1, "a file has one header"
        of_model = {row["epoch"]: row for row in rows if row["probe"] == "model"}
        for epoch, classes in predicted.items():
            right = classes == labels["test"]["true"]
            counts = np.bincount(labels["test"]["true"][right], minlength=N_CLASSES)
            assert of_model[epoch]["class_correct"] == " ".join(map(str, counts))
            assert (of_model[epoch]["correct_examples"] is None) == (epoch != max(EPOCHS))


def test_of_very_many_classes_no_confusion_is_stored():
    labels = np.arange(MOST_CONFUSED + 1)
    assert confusion(labels, labels, MOST_CONFUSED + 1) is None
    assert confusion(labels[:2], labels[:2], 2) == "1 0;0 1"


def test_a_shard_without_checkpoints_gives_no_rows(labels, tmp_path):
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file.attrs["layers"] = LAYERS
        assert probed(file, labels) == ([], {}, [])


@pytest.mark.filterwarnings("ignore:1 of 4 classes")
def test_half_precision_is_read_as_what_it_is(activations, labels, tmp_path):
    with h5py.File(tmp_path / "half.h5", "w") as file, h5py.File(tmp_path / "single.h5", "w") as same:
        for copy, dtype in ((file, "float16"), (same, "float32")):
            copy.attrs["layers"] = LAYERS
            for epoch, layer, split in product(EPOCHS, LAYERS, SIZES):
                stored = activations[f"{epoch}/{layer}/{split}"][...].astype(np.float16)
                copy[f"{epoch}/{layer}/{split}"] = stored.astype(dtype)
        assert probed(file, labels).rows == probed(same, labels).rows


@pytest.mark.filterwarnings("ignore:1 of 4 classes")
def test_the_raw_input_is_fitted_once(labels, numbers, tmp_path, monkeypatch):
    """Its rows are those of a layer with the same values at every checkpoint, which is fitted each time."""
    inputs = {split: numbers.normal(size=(size, 5)) for split, size in SIZES.items()}
    fit_probes, fitted = latentgen.probes.fitting.fitted_probes, []
    monkeypatch.setattr(
        latentgen.probes.fitting, "fitted_probes", lambda *given: fitted.append(1) or fit_probes(*given)
    )
    rows, vectors, times = {}, {}, {}
    for layer in ("input", "copy"):
        with h5py.File(tmp_path / f"{layer}.h5", "w") as file:
            file.attrs["layers"] = [layer]
            for epoch, split in product((0, 3, 6, 12), SIZES):
                create(file, f"{epoch}/{layer}/{split}", inputs[split].shape, "float32")[...] = inputs[split]
            fitted.clear()
            probes = PROBES | {"nearest": {"kind": "nearest_mean", "at": "ends"}}
            results = probed(file, labels, probes)
        times[layer] = len(fitted)
        rows[layer] = [row | {"layer": None} for row in results.rows]
        vectors[layer] = list(results.vectors.values())
    assert times == {"input": 3 * 2, "copy": 4 * 2}  # with two label vectors: at first, later, at last
    assert rows["input"] == rows["copy"]
    assert np.array_equal(vectors["input"], vectors["copy"])


def test_equal_label_vectors_are_fitted_once_and_reported_under_each_name(activations, labels, monkeypatch):
    fits = []
    fit_stored = latentgen.probes.fitting.fit_stored
    monkeypatch.setattr(
        latentgen.probes.fitting, "fit_stored", lambda *given: (fits.append(1), fit_stored(*given))
    )
    true = labels["train"]["true"]
    results = probed(activations, labels, fit_labels={"corrupted": true, "true": true.copy()})

    assert len(fits) == len(EPOCHS) * len(LAYERS)
    of_corrupted, of_true = (
        [{**row, "fit_labels": None} for row in results.rows if row["fit_labels"] == name]
        for name in ("corrupted", "true")
    )
    assert of_corrupted == of_true
    for epoch, layer in product(EPOCHS, LAYERS):
        vectors = (results.vectors[f"{epoch}/{layer}/{name}"] for name in ("corrupted", "true"))
        assert np.array_equal(*vectors)


@pytest.mark.filterwarnings("ignore:1 of 4 classes")
@pytest.mark.parametrize("room", [1, 4_000, 20_000, 10**9])
def test_results_do_not_depend_on_how_much_is_read_at_a_time(activations, labels, room):
    probes = {**PROBES, "VeLPIC-all": {"kind": "VeLPIC", "sign": "all"}}
    whole, in_parts = (probed(activations, labels, probes=probes, room=r) for r in (None, room))
    assert in_parts.rows == whole.rows
    assert list(in_parts.vectors) == list(whole.vectors)
    for place, vectors in whole.vectors.items():
        np.testing.assert_allclose(in_parts.vectors[place], vectors, atol=1e-6)
    measured = {(row["layer"], row["probe"]) for row in in_parts.costs}
    assert measured == {(row["layer"], row["probe"]) for row in whole.costs if _fits(activations, row, room)}


def _fits(activations, row, room):
    return sum(4 * row["width"] * size for size in SIZES.values()) <= room


@pytest.mark.filterwarnings("ignore:1 of 4 classes")
def test_a_probe_that_needs_all_examples_at_once_gets_them(activations, labels):
    probes = {**PROBES, "nearest_mean": {"kind": "nearest_mean"}}
    whole, in_parts = (probed(activations, labels, probes=probes, room=r) for r in (None, 1))
    assert in_parts.rows == whole.rows


@pytest.mark.filterwarnings("ignore:1 of 4 classes")
def test_nothing_is_left_on_disk_where_a_layer_is_read_in_parts(activations, labels, tmp_path):
    before = sorted(tmp_path.iterdir())
    probed(activations, labels, room=1)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.filterwarnings("ignore:1 of 4 classes")
@pytest.mark.parametrize("room", [None, 1])
def test_training_examples_can_be_counted_in_part_and_are_fitted_whole(activations, labels, room):
    probes = {**PROBES, **({} if room else {"nearest_mean": {"kind": "nearest_mean"}})}
    every, some = (probed(activations, labels, probes=probes, room=room, count_train=n) for n in (None, 20))
    counted = counted_examples(SIZES["train"], 20)
    assert len(set(counted)) == 20
    assert len(every.rows) == len(some.rows)
    compared = 0
    for whole, part in zip(every.rows, some.rows, strict=True):
        if part["split"] == "test":
            assert part == whole
            continue
        assert part["total"] == 20
        assert part["components_mean"] == whole["components_mean"]
        if part["probe"] == "VeLPIC":
            X = activations[f"{part['epoch']}/{part['layer']}/train"][...]
            vectors = every.vectors[f"{part['epoch']}/{part['layer']}/{part['fit_labels']}"]
            found = (X @ vectors.T).argmax(1) == labels["train"][part["eval_labels"]]
            assert (whole["correct"], part["correct"]) == (found.sum(), found[counted].sum())
            compared += 1
    assert compared == len(EPOCHS) * len(LAYERS) * 4


def test_up_to_a_hundred_thousand_training_examples_are_all_counted():
    assert counted_examples(100_000) is None
    assert counted_examples(70, 70) is None
    drawn = counted_examples(100_001)
    assert len(set(drawn)) == 50_000
    assert drawn.max() > 90_000
    np.testing.assert_array_equal(drawn, counted_examples(100_001))


@pytest.fixture
def with_parts(labels, numbers):
    """Return the same labels as a run has them: 30 of the examples count as redrawn."""
    redrawn = np.zeros(SIZES["train"], bool)
    redrawn[numbers.choice(SIZES["train"], 30, replace=False)] = True
    train = labels["train"]
    return redrawn, evaluation_labels(
        Labels(train["true"], train["corrupted"], redrawn), labels["test"]["true"]
    )


@pytest.mark.filterwarnings("ignore:1 of 4 classes")
@pytest.mark.parametrize("count_train", [None, 25])
def test_redrawn_and_untouched_examples_are_counted_apart(activations, with_parts, count_train):
    redrawn, labels = with_parts
    results = probed(
        activations,
        labels,
        fit_labels={"corrupted": labels["train"]["corrupted"]},
        count_train=count_train,
    )
    counted = np.zeros(len(redrawn), bool)
    wanted = counted_examples(len(redrawn), count_train)
    counted[slice(None) if wanted is None else wanted] = True
    parts = {"train_redrawn": redrawn & counted, "train_untouched": ~redrawn & counted, "train": counted}
    seen = set()
    for row in (row for row in results.rows if row["split"] != "test" and row["probe"] == "VeLPIC"):
        X = activations[f"{row['epoch']}/{row['layer']}/train"][...]
        predicted = (X @ results.vectors[f"{row['epoch']}/{row['layer']}/corrupted"].T).argmax(1)
        part = parts[row["split"]]
        expected = labels["train"][row["eval_labels"]]
        assert row["total"] == part.sum()
        assert row["correct"] == (predicted == expected)[part].sum()
        seen.add((row["split"], row["eval_labels"]))
    both = {(split, name) for split in ("train", "train_redrawn") for name in ("corrupted", "true")}
    assert seen == both | {("train_untouched", "true")}


@pytest.mark.filterwarnings("ignore:1 of 4 classes")
@pytest.mark.parametrize("negative", [False, True])
def test_velpic_comes_with_the_energy_along_its_vectors_and_masc_with_one_component(
    activations, with_parts, negative
):
    _, labels = with_parts
    if negative:
        for epoch, layer, split in product(EPOCHS, LAYERS, SIZES):
            activations[f"{epoch}/{layer}/{split}"][...] -= 0.8
    probes = {**PROBES, "MASC-1pc": {"kind": "MASC", "variance": None, "components": 1}}
    results = probed(
        activations, labels, probes=probes, fit_labels={"corrupted": labels["train"]["corrupted"]}
    )
    place = ("epoch", "layer", "split", "eval_labels")
    one = {tuple(row[key] for key in place): row for row in results.rows if row["probe"] == "MASC-1pc"}
    equal = []
    for row in results.rows:
        if row["probe"] != "VeLPIC":
            assert row["first_energy"] is row["one_component_equal"] is None
            continue
        assert row["one_component_correct"] == one[tuple(row[key] for key in place)]["correct"]
        X = activations[f"{row['epoch']}/{row['layer']}/{row['split'].partition('_')[0]}"][...].astype(float)
        vectors = results.vectors[f"{row['epoch']}/{row['layer']}/corrupted"].astype(float)
        y = labels[row["split"]][row["eval_labels"]]
        same = ((X @ vectors.T) ** 2).argmax(1) == (X @ vectors.T).argmax(1)
        assert row["one_component_equal"] == same[y >= 0].sum()
        fractions = [
            ((X[y == c] @ vectors[c]) ** 2).sum() / (X[y == c] ** 2).sum() for c in range(4) if (y == c).any()
        ]
        assert row["first_energy"] == pytest.approx(np.mean(fractions), abs=6e-5)
        equal.append(row["one_component_equal"] == row["total"])
    assert len(equal) == len(EPOCHS) * len(LAYERS) * 6
    assert all(equal) is not negative
