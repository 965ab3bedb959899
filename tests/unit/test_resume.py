"""A training that is killed, stopped or preempted goes on, and gives the same bits as one left in peace."""

import csv
import errno
import json
import multiprocessing
import multiprocessing.forkserver
import os
import random
import re
import shutil
import signal
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from latentgen.errors import LatentgenError, UnreadableFileError
from latentgen.training.resuming import Resume, Stopped
from latentgen.training.schedule import checkpoint_epochs

N_KILLS = int(os.environ.get("LATENTGEN_TEST_KILLS", "4"))
"""SIGKILLs per kind of training; the environment variable asks for more."""

FIRST_SECONDS = float(os.environ.get("LATENTGEN_TEST_FIRST_SECONDS", "0.1"))
"""How long trainings live on average that are killed in their first moments."""

processes = multiprocessing.get_context("forkserver")

TRAININGS = {
    "MLP": {
        "model": {"architecture": "MLP", "widths": [24, 40]},
        "training": {
            "optimizer": {"name": "SGD", "learning_rate": 0.05, "momentum": 0.9},
            "batch_size": 32, "shuffle": True, "max_epochs": 60, "stop": None, "checkpoints": [0, 1, 5, 30],
        },
    },
    "CNN": {
        "model": {"architecture": "CNN"},
        "training": {
            "optimizer": {"name": "Adam", "learning_rate": 0.001, "betas": [0.9, 0.999]},
            "batch_size": 50, "shuffle": False, "max_epochs": 8,
            "stop": {"train_accuracy": 0.999, "measured": "online"}, "checkpoints": [0, 2, 5],
        },
    },
    "recipe": {
        "model": {"architecture": "CNN", "dropout": 0.2},
        "training": {
            "optimizer": {"name": "AdamW", "learning_rate": 0.002, "betas": [0.9, 0.99], "weight_decay": 0.1},
            "batch_size": 50, "shuffle": True, "max_epochs": 8, "stop": None, "checkpoints": [0, 2, 5],
            "schedule": {"name": "cosine", "warmup_epochs": 1.5, "final": 0.0}, "accumulate": 2,
            "clip_gradients": 1.0, "label_smoothing": 0.1,
            "augment": {"crop": 1, "flip": True, "cutout": 2, "mixup": 0.4},
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def imported_once():
    """Let all children be copies of one process that has imported torch, and nothing else of this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        processes.set_forkserver_preload(
            ["latentgen.training.loop", "latentgen.networks.activations", "latentgen.probes.fitting"]
        )
        multiprocessing.forkserver.ensure_running()


def run_training(folder, settings, seconds_between=0.02, pause=0.0, identity="digest", threads=1):
    """Train as the rule does; `pause` seconds after every epoch give a signal time to come."""
    import logging

    import torch

    from latentgen.data.labels import Labels
    from latentgen.networks.architectures import make_network
    from latentgen.runtime.files import write_csv, write_json
    from latentgen.training.data import Dataset, training_data, training_identity
    from latentgen.training.loop import train
    from latentgen.training.plan import TrainingPlan
    from latentgen.training.resuming import resumable

    folder.mkdir(exist_ok=True)
    logging.basicConfig(filename=folder / "log", level=logging.INFO, force=True)
    torch.set_num_threads(threads)
    device = torch.device("cpu")
    numbers = np.random.default_rng(1)
    true, test = numbers.integers(0, 10, 400), numbers.integers(0, 10, 100)

    def images_of(labels):
        return np.clip(
            numbers.normal(labels[:, None] * 5 + np.arange(64), 30, (len(labels), 64)), 0, 255
        ).astype(np.uint8).reshape(-1, 1, 8, 8)  # fmt: skip

    dataset = Dataset(
        name="made up", train_inputs=images_of(true), train_labels=true, train_index=np.arange(400),
        test_inputs=images_of(test), test_labels=test, test_index=np.arange(100),
        class_names=tuple("0123456789"), max_value=255, source="", checksums={},
    )  # fmt: skip
    labels = Labels(true, np.where(numbers.random(400) < 0.4, numbers.integers(0, 10, 400), true), true == 1)
    data = training_data(dataset, labels, (-1, 1), device)
    network = make_network(settings["model"], (1, 8, 8), 10, seed=3)
    params = {"code": identity, **settings}
    with resumable(
        folder / "checkpoints", "a-run", training_identity(params, dataset, labels, device)
    ) as resume:
        resume.seconds_between = seconds_between
        resume._next = time.monotonic() + seconds_between
        if pause:
            save = resume.save_checkpoint
            resume.save_checkpoint = lambda *given: (save(*given), time.sleep(pause))
        result = train(network, data, TrainingPlan(**settings["training"], seed=3), resume)
        resume.publish_checkpoints(folder / "checkpoints")
        write_csv(folder / "history.csv", result.history_rows())
        write_json(folder / "training.json", result.summary())
        resume.discard()


def _child(*arguments, **options):
    os.setsid()
    run_training(*arguments, **options)


@contextmanager
def training(*arguments, **options):
    child = processes.Process(target=_child, args=arguments, kwargs=options)
    child.start()
    try:
        yield child
    finally:
        child.kill()
        child.join()


def finish(*arguments, **options):
    with training(*arguments, **options) as child:
        child.join()
        assert child.exitcode == 0, (arguments[0] / "log").read_text()


def results(folder: Path):
    """All that must be equal: weights byte for byte, the history but for its times, why training ended."""
    with (folder / "history.csv").open(newline="") as file:
        history = [{key: row[key] for key in row if key != "seconds"} for row in csv.DictReader(file)]
    weights = {path.name: path.read_bytes() for path in (folder / "checkpoints").iterdir()}
    return weights, history, json.loads((folder / "training.json").read_text())["ended"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a function that gives each training's results, and how long it took (s)."""
    known = {}

    def get(name):
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            finish(folder, TRAININGS[name], seconds_between=1000)
            assert not (folder / ".resume").exists()
            known[name] = results(folder), json.loads((folder / "training.json").read_text())["seconds"]
        return known[name]

    return get


def run_probing(folder, checkpoints):
    """Extract and probe as the rules do; a step whose outputs are there is over."""
    import torch

    from latentgen.networks.activations import write_activations
    from latentgen.networks.architectures import make_network
    from latentgen.networks.checkpoints import checkpoint_paths, save_weights
    from latentgen.probes.fits import Fits
    from latentgen.probes.fitting import probe_activations
    from latentgen.runtime.files import read_h5, write_csv, write_h5

    folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    numbers = torch.Generator().manual_seed(0)
    inputs = {"train": torch.randn(4000, 1, 8, 8, generator=numbers)}
    inputs["test"] = torch.randn(1000, 1, 8, 8, generator=numbers)
    labels = {
        split: {"true": torch.randint(0, 10, (len(items),), generator=numbers).numpy()}
        for split, items in inputs.items()
    }
    activations, accuracy, vectors = folder / "shard.h5", folder / "shard.csv", folder / "shard.safetensors"
    if not activations.exists():
        network = make_network(TRAININGS["MLP"]["model"], (1, 8, 8), 10)
        with write_h5(activations) as file:
            write_activations(file, network, checkpoint_paths(checkpoints), inputs, ["fc1", "fc2"])
    if not (accuracy.exists() and vectors.exists()):
        probes = {"MASC": {"kind": "MASC", "variance": 0.99}, "VeLPIC": {"kind": "VeLPIC"}}
        with read_h5(activations) as file:
            fits = Fits(10, probes, labels["train"], 10**6)
            found = probe_activations(file, labels, fits, torch.device("cpu"))
        write_csv(accuracy, found.rows)
        save_weights(vectors, found.vectors)


def _probing_child(*arguments):
    os.setsid()
    run_probing(*arguments)


def test_sigkill_of_extraction_and_probing_changes_no_bit(undisturbed, tmp_path):
    checkpoints = tmp_path / "checkpoints"
    weights, _, _ = undisturbed("MLP")[0]
    checkpoints.mkdir()
    for name, content in weights.items():
        (checkpoints / name).write_bytes(content)

    def start(folder):
        child = processes.Process(target=_probing_child, args=(folder, checkpoints))
        child.start()
        return child

    def outcome(folder):
        assert not list(folder.glob(".*.partial"))
        return (folder / "shard.csv").read_bytes(), (folder / "shard.safetensors").read_bytes()

    started = time.monotonic()
    child = start(tmp_path / "undisturbed")
    child.join()
    assert child.exitcode == 0
    seconds, expected = time.monotonic() - started, outcome(tmp_path / "undisturbed")
    moments = random.Random(0)
    kills = studies = 0
    while kills < N_KILLS:
        folder = tmp_path / f"{studies}"
        studies += 1
        for _ in range(3):
            child = start(folder)
            child.join(0.05 + moments.uniform(0, seconds))
            if child.exitcode is None:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.kill()
                kills += 1
            child.join()
        child = start(folder)
        child.join()
        assert child.exitcode == 0
        assert outcome(folder) == expected
    print(f"extraction and probing: {kills} SIGKILLs in {studies} studies")


def wait_for(path, process, seconds=30):
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.is_alive(), "ended before it could be disturbed"
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.mark.parametrize("name", TRAININGS)
def test_sigkill_at_random_moments_changes_no_bit(name, undisturbed, tmp_path):
    expected, seconds = undisturbed(name)
    moments = random.Random(0)
    kills = resumed = trainings = 0
    while kills < N_KILLS or not resumed:
        assert trainings < 50, "no kill fell between the first saving and the end"
        folder = tmp_path / f"{trainings}"
        trainings += 1
        for _ in range(3):
            with training(folder, TRAININGS[name]) as child:
                child.join(0.05 + moments.uniform(0, 1.3 * seconds))
                if child.exitcode is not None:
                    break
                with suppress(ProcessLookupError):  # it has no group of its own yet
                    os.killpg(child.pid, signal.SIGKILL)
                child.kill()
                kills += 1
        finish(folder, TRAININGS[name])
        resumed += json.loads((folder / "training.json").read_text())["times_resumed"]
        assert results(folder) == expected
        assert not (folder / ".resume").exists()
        assert not list(folder.rglob("*.partial"))
        shutil.rmtree(folder)
    print(f"{name}: {kills} SIGKILLs in {trainings} trainings, {resumed} resumptions")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_training_ends_at_once_with_its_state_saved(ending, undisturbed, tmp_path):
    expected, _ = undisturbed("MLP")
    with training(tmp_path, TRAININGS["MLP"], seconds_between=1000, pause=0.2) as child:
        wait_for(tmp_path / ".resume/checkpoints/epoch-0005.safetensors", child)
        sent = time.monotonic()
        os.kill(child.pid, ending)
        child.join(10)
        assert child.exitcode == 128 + ending
        assert time.monotonic() - sent < 10
    assert ending.name in (tmp_path / "log").read_text()
    finish(tmp_path, TRAININGS["MLP"])
    assert "resuming from a saved state: epoch 5" in (tmp_path / "log").read_text()
    assert json.loads((tmp_path / "training.json").read_text())["times_resumed"] == 1
    assert results(tmp_path) == expected


def test_a_warning_signal_saves_and_training_continues(undisturbed, tmp_path):
    with training(tmp_path, TRAININGS["MLP"], seconds_between=1000, pause=0.2) as child:
        wait_for(tmp_path / ".resume/checkpoints/epoch-0005.safetensors", child)
        os.kill(child.pid, signal.SIGUSR1)
        wait_for(tmp_path / ".resume/state.safetensors", child)
        child.join()
        assert child.exitcode == 0
    assert results(tmp_path) == undisturbed("MLP")[0]


@pytest.fixture
def stopped(tmp_path):
    """Leave a training stopped halfway."""
    with training(tmp_path, TRAININGS["MLP"], seconds_between=1000, pause=0.2) as child:
        wait_for(tmp_path / ".resume/checkpoints/epoch-0005.safetensors", child)
        os.kill(child.pid, signal.SIGTERM)
        child.join()
    assert (tmp_path / ".resume/state.safetensors").exists()
    return tmp_path


def damaged(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("disturb", "said"),
    [
        (lambda state: damaged(state), "its checksum differs"),
        (lambda state: state.write_bytes(state.read_bytes()[:-100]), "cannot be read as a safetensors file"),
        (lambda state: state.write_bytes(b""), "cannot be read as a safetensors file"),
        (lambda state: (state.parent / "checkpoints/epoch-0001.safetensors").unlink(), "epoch 1 is missing"),
    ],
)  # fmt: skip
def test_a_damaged_state_is_refused_with_a_message(disturb, said, stopped, undisturbed):
    disturb(stopped / ".resume/state.safetensors")
    finish(stopped, TRAININGS["MLP"])
    log = (stopped / "log").read_text()
    assert "training starts from scratch" in log
    assert said in log
    assert json.loads((stopped / "training.json").read_text())["times_resumed"] == 0
    assert results(stopped) == undisturbed("MLP")[0]


def test_the_state_of_other_code_settings_or_labels_is_refused_with_a_message(stopped, undisturbed):
    from latentgen.training.resuming import content_digest

    finish(stopped, TRAININGS["MLP"], identity="another digest")
    assert "code was digest and is another digest" in (stopped / "log").read_text()
    assert results(stopped) == undisturbed("MLP")[0]
    assert content_digest(np.arange(3)) != content_digest(np.array([0, 2, 1]))
    assert content_digest(np.arange(4)) != content_digest(np.arange(4).reshape(2, 2))


SCHEDULES = {"from epoch 0": [0, 1, 5, 30], "late": [40], "paper": list(checkpoint_epochs("paper", 60))}


def with_schedule(schedule):
    settings = json.loads(json.dumps(TRAININGS["MLP"]))
    settings["training"]["checkpoints"] = SCHEDULES[schedule]
    return settings


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_wherever_a_training_is_stopped_it_resumes_to_the_same_bits(schedule, tmp_path):
    """At every moment at which a signal is acted on, the measuring of epoch 0 among them."""
    settings = with_schedule(schedule)
    settings["training"] |= {"max_epochs": 3, "checkpoints": [e for e in SCHEDULES[schedule] if e <= 3]}
    run_training(tmp_path / "undisturbed", settings)
    expected = results(tmp_path / "undisturbed")
    asked = []

    def stop_at(moment):
        def wanted(resume):
            asked.append(moment)
            if asked.count(moment) == moment + 1:
                resume.note(signal.SIGTERM)
            return resume._signal is not None

        return wanted

    moment = 0
    while True:
        folder = tmp_path / str(moment)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Resume, "wanted", stop_at(moment))
            try:
                run_training(folder, settings)
                break  # there are no more moments
            except Stopped:
                assert (folder / ".resume/state.safetensors").exists()
        run_training(folder, settings)
        assert json.loads((folder / "training.json").read_text())["times_resumed"] == 1
        assert results(folder) == expected
        moment += 1
    assert moment > 40, "several steps an epoch, and blocks of several evaluations"


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_sigkill_in_the_first_moments_changes_no_bit(schedule, tmp_path):
    """The state is saved after every step, so there is one before the first checkpoint."""
    settings = with_schedule(schedule)
    finish(tmp_path / "undisturbed", settings, seconds_between=1000)
    expected, moments = results(tmp_path / "undisturbed"), random.Random(schedule)
    killed = 0
    for number in range(N_KILLS):
        folder = tmp_path / str(number)
        for _ in range(2):
            with training(folder, settings, seconds_between=0) as child:
                wait_for(folder / "log", child)
                child.join(moments.expovariate(1 / FIRST_SECONDS))
                if child.exitcode is None:
                    with suppress(ProcessLookupError):
                        os.killpg(child.pid, signal.SIGKILL)
                    killed += 1
        finish(folder, settings)
        assert results(folder) == expected
    print(f"{schedule}: {killed} SIGKILLs in the first moments of {N_KILLS} trainings")


def test_a_state_that_cannot_be_read_now_is_not_given_up(stopped, monkeypatch):
    state = stopped / ".resume/state.safetensors"
    before, real = state.read_bytes(), open

    def refuse(path, *arguments, **options):
        if isinstance(path, Path) and path == state:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UnreadableFileError, match="Too many open files"):
        run_training(stopped, TRAININGS["MLP"])
    monkeypatch.undo()
    assert state.read_bytes() == before
    assert (stopped / ".resume/checkpoints/epoch-0005.safetensors").exists()


def test_a_state_of_another_number_of_threads_is_not_used(stopped, undisturbed):
    finish(stopped, TRAININGS["MLP"], threads=2)
    assert "threads was 1 and is 2" in (stopped / "log").read_text()


def test_time_left_follows_from_the_epochs_since_it_resumed(stopped, monkeypatch):
    from latentgen.training import loop as module

    begun = []

    class Progress(module.Progress):
        def __init__(self, total, unit, before=0):
            begun.append(before)
            super().__init__(total, unit, before)

    monkeypatch.setattr(module, "Progress", Progress)
    run_training(stopped, TRAININGS["MLP"])
    (going_on,) = re.findall(r"resuming from a saved state: epoch (\d+)", (stopped / "log").read_text())
    assert begun == [int(going_on) - 1]


def test_a_training_that_diverges_leaves_no_state(tmp_path):
    settings = json.loads(json.dumps(TRAININGS["MLP"]))
    settings["training"]["optimizer"]["learning_rate"] = 1e30
    with pytest.raises(LatentgenError, match="diverged"):
        run_training(tmp_path, settings)
    assert not (tmp_path / ".resume").exists()
