"""Moment matrices that are added up while examples pass give the probes that stored examples give."""

import h5py
import numpy as np
import pytest
import torch

from latentgen.errors import LatentgenError
from latentgen.networks import activations as writing
from latentgen.networks.activations import write_activations
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths, save_checkpoint
from latentgen.networks.class_moments import ClassMoments
from latentgen.probes.fits import Fits
from latentgen.probes.fitting import probe_activations
from latentgen.study.config import read_study

CPU = torch.device("cpu")
N, N_CLASSES, SHAPE = 700, 4, (1, 8, 8)
RNG = np.random.default_rng(2)
TRUE = RNG.integers(N_CLASSES, size=N + 300)
IMAGES = RNG.random((N + 300, *SHAPE), dtype=np.float32)
IMAGES[np.arange(N + 300), 0, 2 * TRUE] += 0.7
LABELS = {
    "corrupted": np.where(RNG.random(N) < 0.4, RNG.integers(N_CLASSES, size=N), TRUE[:N]),
    "true": TRUE[:N],
}
PROBES = {
    "MASC": {"kind": "MASC", "variance": 0.99},
    "MASC-1": {"kind": "MASC", "components": 1},
    "VeLPIC": {"kind": "VeLPIC"},
}


@pytest.fixture
def probed(tmp_path, monkeypatch):
    """Return a function that extracts and probes one way or the other."""
    monkeypatch.setattr(writing, "CHUNK_ITEMS", 128)
    network = make_network({"architecture": "MLP", "widths": [24, 16]}, SHAPE, N_CLASSES, seed=3)
    for epoch in (0, 1):
        save_checkpoint(tmp_path / "checkpoints", "run", epoch, network)
    paths = checkpoint_paths(tmp_path / "checkpoints")

    def probe(fit_labels=LABELS, moments=True):
        inputs = {"train": torch.from_numpy(IMAGES[:N]), "test": torch.from_numpy(IMAGES[N:])}
        with h5py.File(tmp_path / f"{moments}.h5", "w") as file:
            write_activations(
                file, network, paths, inputs, ["fc1", "fc2"], mantissa_bits=13,
                moments=(fit_labels, N_CLASSES) if moments else None,
            )  # fmt: skip
        with h5py.File(tmp_path / f"{moments}.h5") as file:
            return probe_activations(
                file,
                {"train": LABELS, "test": {"true": TRUE[N:]}},
                Fits(N_CLASSES, PROBES, fit_labels, 1),
                CPU,
            )

    return probe


def test_probes_are_those_of_stored_examples(probed, tmp_path):
    stored, summed = probed(moments=False), probed()
    expected = [row for row in stored.rows if row["split"] == "test"]
    assert len(summed.rows) == len(expected) > 20
    for one, other in zip(summed.rows, expected, strict=True):
        assert one == other
    assert summed.vectors.keys() == stored.vectors.keys()
    for name, vectors in summed.vectors.items():
        np.testing.assert_allclose(vectors, stored.vectors[name], atol=1e-6)
    with h5py.File(tmp_path / "True.h5") as file:
        assert set(file["0/fc1"]) == {"moments", "test"}
        sizes = []
        file.visititems(
            lambda name, item: sizes.append(item.shape) if isinstance(item, h5py.Dataset) else None
        )
        assert not any(N in shape for shape in sizes), "nothing of the training split is on disk"


def test_a_class_without_examples_is_never_predicted(probed):
    labels = {"corrupted": np.where(LABELS["corrupted"] == 2, 1, LABELS["corrupted"])}
    with pytest.warns(UserWarning, match="never predicted: 2"):
        rows = probed(labels).rows
    assert {row["missing_classes"] for row in rows if row["probe"] != "model"} == {1}


def test_moments_do_not_depend_on_the_blocks():
    X = torch.randn(500, 12, generator=torch.Generator().manual_seed(1))
    labels = RNG.integers(3, size=500)
    found = []
    for size in (500, 37):
        moments = ClassMoments(labels, 3)
        for start in range(0, 500, size):
            moments.add(X[start : start + size], start)
        found.append(moments)
    expected = torch.stack([X[labels == c].double().T @ X[labels == c].double() for c in range(3)])
    for moments in found:
        torch.testing.assert_close(moments.matrices, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(moments.sums[1], X[labels == 1].double().sum(0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"probes": [{"kind": "VeLPIC"}, {"kind": "LDA"}]}, "LDA"),
        ({"transfer": {"heads": ["velpic", "ridge"]}}, "ridge"),
        ({"fit_labels": ["corrupted", "every_p"]}, "every_p"),
        ({"figures": ["cost"]}, "'cost' needs activations.store: examples"),
    ],
)
def test_what_needs_the_examples_is_refused(study, changed, message):
    moments = {"activations": {"store": "moments"}, "probes": [{"kind": "MASC"}, {"kind": "VeLPIC"}]}
    assert "cost" not in read_study(study | moments).figures
    with pytest.raises(LatentgenError, match=message):
        read_study(study | moments | changed)
