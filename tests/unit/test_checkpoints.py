"""Checkpoints are whole or absent, and fit the network they are loaded into."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

from latentgen.errors import LatentgenError
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import (
    checkpoint_metadata,
    checkpoint_name,
    checkpoint_paths,
    load_network,
    load_weights,
    save_checkpoint,
    save_weights,
)

RUN = "digits-cnn-symmetric0.40-seed1"
CNN = {"architecture": "CNN"}


def network(seed=0, settings=CNN):
    return make_network(settings, (1, 8, 8), 10, seed)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with checkpoints of epochs 10, 0 and 2, whose networks have these as seeds."""
    for epoch in (10, 0, 2):
        save_checkpoint(tmp_path / "checkpoints", RUN, epoch, network(seed=epoch))
    return tmp_path / "checkpoints"


def test_weights_come_back_bit_for_bit(folder):
    paths = checkpoint_paths(folder)
    assert list(paths) == [0, 2, 10]
    loaded = network(seed=99)
    for epoch, path in paths.items():
        load_network(loaded, path)
        expected = network(seed=epoch).state_dict()
        assert all(torch.equal(weights, expected[name]) for name, weights in loaded.state_dict().items())
        assert checkpoint_metadata(path) == {"run": RUN, "epoch": str(epoch)}


def test_loading_keeps_the_memory_layout_that_is_fast(folder):
    loaded = network(seed=99)
    load_network(loaded, checkpoint_paths(folder)[2])
    assert loaded.block2[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_the_same_weights_give_the_same_bytes(folder, tmp_path):
    for _ in range(8):  # what goes by the order of a hash table is right now and then
        save_checkpoint(tmp_path / "again", RUN, 2, network(seed=2))
        name = checkpoint_name(2)
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_shard_without_checkpoints_gives_a_file_that_can_be_read(tmp_path):
    save_weights(tmp_path / "none.safetensors", {})
    assert load_weights(tmp_path / "none.safetensors") == {}
    assert checkpoint_metadata(tmp_path / "none.safetensors") == {}


def test_epochs_can_be_chosen_and_other_files_are_none(folder):
    (folder / "epoch-0003-zero.safetensors").touch()
    (folder / "notes.txt").touch()
    assert list(checkpoint_paths(folder, range(1, 11))) == [2, 10]
    assert checkpoint_name(12345) == "epoch-12345.safetensors"
    assert checkpoint_name(3, "zero") == "epoch-0003-zero.safetensors"


def test_what_a_killed_process_left_is_no_obstacle_and_is_cleared_away(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    left = tmp_path / f".{checkpoint_name(0)}.{socket.gethostname()}-{int(ended.stdout)}.partial"
    left.touch()
    save_checkpoint(tmp_path, RUN, 0, network())
    assert os.listdir(tmp_path) == [checkpoint_name(0)]


def test_what_another_machine_is_writing_is_left_alone(tmp_path):
    written = tmp_path / f".{checkpoint_name(0)}.elsewhere-{os.getpid()}.partial"
    written.touch()
    save_checkpoint(tmp_path, RUN, 0, network())
    assert written.exists()


def test_a_file_cut_short_is_refused(folder):
    path = checkpoint_paths(folder)[2]
    content = path.read_bytes()
    for length in (0, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        for read in (load_weights, checkpoint_metadata, lambda path: load_network(network(), path)):
            with pytest.raises(LatentgenError, match=r"epoch-0002.*cannot be read.*Delete it and run again"):
                read(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LatentgenError, match=r"epoch-0001.safetensors does not exist"):
        load_weights(tmp_path / checkpoint_name(1))


@pytest.mark.parametrize(
    "other", [{"architecture": "MLP", "widths": [5]}, {"architecture": "MLP", "widths": [5, 6]}]
)
def test_weights_that_do_not_fit_are_refused(folder, other):
    with pytest.raises(LatentgenError, match=r"weights in .*epoch-0002.* do not fit the network"):
        load_network(network(settings=other), checkpoint_paths(folder)[2])


def test_edited_weights_load_like_any_other(folder, tmp_path):
    weights = load_weights(checkpoint_paths(folder)[2])
    weights["readout.weight"] = np.ones_like(weights["readout.weight"])
    path = tmp_path / checkpoint_name(2, "zero")
    save_weights(path, weights, {"transfer": "VeLPIC, bias zero"})
    loaded = network()
    load_network(loaded, path)
    assert (loaded.readout.weight == 1).all()
    assert torch.equal(loaded.fc1[0].weight, network(seed=2).fc1[0].weight)
    assert checkpoint_metadata(path)["transfer"] == "VeLPIC, bias zero"
