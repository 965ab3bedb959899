"""What a job asks for follows from the size of what it does."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from latentgen.jobs.resources import job_size
from latentgen.jobs.steps import SIZED, STEPS, jobs_of
from latentgen.jobs.work import BLOCK_ITEMS
from latentgen.networks import forward
from latentgen.runtime.memory import room_for_activations
from latentgen.study.config import read_study

PROJECT = Path(__file__).parents[2]
MNIST_MLP = {
    "dataset": "mnist",
    "model": {"architecture": "MLP"},
    "training": {"optimizer": {"name": "SGD", "learning_rate": 0.001}, "batch_size": 32, "max_epochs": 500},
}


@pytest.fixture
def size(study):
    """Return a function that sizes a step of the study, with some of a pair's settings changed."""

    def size_of(step, pair=None, **study_changes):
        changed = study | {"pairs": [study["pairs"][0] | (pair or {})]} | study_changes
        return job_size(step, next(iter(read_study(changed).runs.values())))

    return size_of


@pytest.mark.parametrize("step", SIZED)
def test_a_small_run_asks_for_little(size, step):
    asked = size(step)
    assert asked.threads == 1
    assert (80 if step == "transfer_weights" else 600) <= asked.megabytes <= 1500
    assert 5 <= asked.minutes <= 30
    assert 0 < asked.disk_megabytes <= 100


@pytest.mark.parametrize("step", SIZED)
def test_a_large_run_asks_for_more_and_within_reason(size, step):
    small, large = size(step), size(step, MNIST_MLP)
    assert large.threads > small.threads
    assert large.megabytes >= small.megabytes
    assert large.minutes > small.minutes
    assert large.megabytes <= 16_000
    assert large.minutes <= 48 * 60
    assert all(isinstance(value, int) for value in large)


@pytest.mark.parametrize("step", SIZED)
def test_what_is_asked_for_grows_with_each_size(size, step):
    def part(items):
        return {**MNIST_MLP, "dataset": {"name": "mnist", "train_items": items, "test_items": 10_000}}

    one_checkpoint = {"shard_gigabytes": 1e-9}
    sizes = [size(step, part(items), activations=one_checkpoint) for items in (1_000, 10_000, 60_000)]
    for smaller, larger in pairwise(sizes):
        assert all(a <= b for a, b in zip(smaller, larger, strict=True))
        if step != "transfer_weights":  # it reads a block at a time
            assert smaller.megabytes < larger.megabytes
    if step in ("train", "fit_probes"):
        assert sizes[0].minutes < sizes[-1].minutes


def test_longer_training_takes_longer(size):
    def epochs(number):
        return {**MNIST_MLP, "training": {**MNIST_MLP["training"], "max_epochs": number}}

    assert size("train", epochs(500)).minutes > 3 * size("train", epochs(100)).minutes


def test_activations_ask_for_the_disk_that_they_fill(size):
    uncompressed = 70_000 * (128 + 512 + 2048 + 2048) * 4 / 1e6  # of one checkpoint, in megabytes
    asked = size("extract_activations", MNIST_MLP)  # six of them in the 8 GB of a shard
    assert 6 * uncompressed <= asked.disk_megabytes <= 8_001
    half = size("extract_activations", MNIST_MLP, activations={"dtype": "float16", "shard_gigabytes": 2})
    assert half.disk_megabytes == pytest.approx(3 * uncompressed / 2, abs=2)


def test_memory_holds_the_widest_layer_and_the_data(size):
    assert size("fit_probes", MNIST_MLP).megabytes > 2 * 70_000 * 2048 * 4 / 1e6
    assert size("train", MNIST_MLP).megabytes > 700 + 1.25 * 70_000 * 784 * 4 / 1e6


@pytest.mark.parametrize(("dataset", "measured"), [("fashion_mnist", 818), ("cifar10", 969)])
def test_memory_holds_a_block_of_images_on_its_way_through_convolutions(size, dataset, measured):
    # What extracting 5,000 + 5,000 items from the papers' CNN took, in megabytes.
    part = {
        "dataset": {"name": dataset, "train_items": 5000, "test_items": 5000},
        "model": {"architecture": "CNN"},
    }
    for step in ("train", "extract_activations"):
        assert measured < size(step, part).megabytes < 2 * measured


def test_the_block_is_that_of_the_steps():
    assert forward.MOST_ITEMS == BLOCK_ITEMS


def test_what_computes_in_networks_and_probes_asks_for_a_gpu(size):
    asked = {step: size(step).gpus for step in SIZED}
    for step in ("transfer_weights", "transfer_heads"):  # of stored activations, on the processor
        assert asked.pop(step) == 0
    assert set(asked.values()) == {1}


@pytest.mark.parametrize("step", ["train", "edit_and_train"])
def test_threads_of_a_training_follow_from_the_training_alone(size, step):
    assert size(step, MNIST_MLP).threads == 4
    for activations in ({"dtype": "float16"}, {"shard_gigabytes": 0.1}):
        assert size(step, MNIST_MLP, activations=activations).threads == 4
    set_by_user = MNIST_MLP | {"training": {**MNIST_MLP["training"], "threads": 3}}
    assert size(step, set_by_user).threads == 3
    tiny_steps = MNIST_MLP | {"training": {**MNIST_MLP["training"], "batch_size": 1}}
    assert size(step, tiny_steps).threads == 1


def test_threads_are_no_setting_of_the_loop(study):
    study["pairs"][0]["training"]["threads"] = 2
    assert "threads" not in next(iter(read_study(study).runs.values())).training


def test_every_step_computes_with_the_threads_of_the_study_and_not_of_the_cores():
    """Snakemake cuts what a rule asks for to `--cores`; the number that counts is a param."""
    rules = "".join(path.read_text(encoding="utf-8") for path in sorted((PROJECT / "rules").glob("*.smk")))
    steps = re.findall(r"^    threads: threads_of\(\"(\w+)\"\)", rules, re.MULTILINE)
    assert sorted(steps) == sorted(SIZED)
    for step in steps:
        assert rules.count(f'threads=threads_of("{step}"),') == 1
        name = "extract_activations" if step == "extract_range" else step  # the same rule, for a range
        script = (PROJECT / "workflow/scripts" / f"{name}.py").read_text(encoding="utf-8")
        assert "snakemake.threads" not in script
        assert "params.threads" in script


def test_probing_asks_for_a_part_of_a_large_layer_if_its_probes_allow_it(size):
    pair = {**MNIST_MLP, "model": {"architecture": "MLP", "widths": [128, 40_000]}}
    whole = 3 * 4 * 70_000 * 40_000 / 1e6
    some = size("fit_probes", pair, probes=[{"kind": "MASC"}, {"kind": "VeLPIC"}])
    assert some.megabytes < whole / 2
    everything = size(
        "fit_probes", pair, probes=[{"kind": "MASC"}, {"kind": "VeLPIC"}, {"kind": "nearest_mean"}]
    )
    assert everything.megabytes > whole
    sorted_and_bases = (4 * 70_000 + 8 * 60_000) * 40_000 / 1e6
    assert some.disk_megabytes - everything.disk_megabytes == pytest.approx(sorted_and_bases, abs=1)


def test_a_probing_job_that_asked_for_a_layer_has_room_for_it(size):
    asked = size("fit_probes", MNIST_MLP)
    assert room_for_activations({"mem_mb": asked.megabytes}) >= 4 * 70_000 * 2048
    assert room_for_activations({"mem_mb": asked.megabytes - 10}) < 4 * 70_000 * 2048
    assert room_for_activations({}) is None


def test_transfer_asks_for_the_layer_that_the_readout_sees(size):
    wide, narrow = (
        {**MNIST_MLP, "model": {"architecture": "MLP", "widths": w}} for w in ([8000, 64], [64, 64])
    )
    more = size("transfer_weights", wide).megabytes - size("transfer_weights", narrow).megabytes
    assert more < 4 * 4 * 8000 * (784 + 64 + 1) / 1e6, (
        "four times the weights, and no activations of 8,000 units"
    )


LARGE = {
    "dataset": {
        "name": "large",
        "own": {"path": "large", "shape": [3, 224, 224], "classes": 1000, "train": 1_281_167, "test": 50_000},
    },
    "model": {"architecture": "MLP", "widths": [256]},
    "training": {"optimizer": {"name": "SGD", "learning_rate": 0.1}, "batch_size": 128, "max_epochs": 1},
}


@pytest.mark.parametrize("step", ["train", "edit_and_train", "take_weights", "extract_activations"])
def test_inputs_that_are_read_as_needed_take_no_memory(size, step):
    assert size(step, LARGE).megabytes < 6_000  # in float32 they take 801 GB


def test_a_large_folder_is_prepared_in_bounded_memory(study):
    run = next(iter(read_study(study | {"pairs": [LARGE]}).runs.values()))
    assert run.pair.dataset.megabytes <= 4_000


def test_a_range_asks_for_its_part_of_time_and_disk(study):
    def run_with(job_gigabytes):
        changed = {"pairs": [study["pairs"][0] | MNIST_MLP], "activations": {"job_gigabytes": job_gigabytes}}
        return next(iter(read_study(study | changed).runs.values()))

    whole, divided = run_with(20), run_with(0.3)  # a checkpoint has 1.3 GB
    assert (whole.n_ranges, divided.n_ranges, run_with(1e-3).n_ranges) == (1, 5, 10)  # as many as classes
    one, several = job_size("extract_activations", whole), job_size("extract_range", divided)
    assert several.disk_megabytes == pytest.approx(one.disk_megabytes / 5, abs=2)
    assert several.seconds < one.seconds / 4
    assert job_size("fit_range", divided).seconds < job_size("fit_probes", whole).seconds
    assert "extract_activations" not in {step for step in STEPS if jobs_of(step, divided)}
    assert jobs_of("score_range", divided)[5:7] == [
        {"run": divided.spec.slug, "shard": "1", "range": "0"},
        {"run": divided.spec.slug, "shard": "1", "range": "1"},
    ]


def test_ranges_ask_for_no_whole_layer_and_what_joins_them_for_none(size):
    pair = {**MNIST_MLP, "model": {"architecture": "MLP", "widths": [128, 40_000]}}
    divided, subspaces = {"job_gigabytes": 2}, [{"kind": "MASC"}, {"kind": "VeLPIC"}]
    whole = 3 * 4 * 70_000 * 40_000 / 1e6
    for probes in (subspaces, [*subspaces, {"kind": "nearest_mean"}]):
        for step in ("fit_range", "score_range"):
            assert size(step, pair, activations=divided, probes=probes).megabytes < whole / 2
        sorted_and_bases = (4 * 70_000 + 8 * 60_000) * 40_000 / 1e6 / 6
        assert size("fit_range", pair, activations=divided, probes=probes).disk_megabytes > sorted_and_bases
    joined = size("fit_probes", pair, activations=divided, probes=subspaces)
    assert joined.megabytes < 1000
    assert joined.disk_megabytes < 100


def test_an_audit_asks_for_the_scores_of_all_classes(size):
    def asked(n_classes):
        own = {"path": "x", "kind": "vectors", "shape": [256], "train": 20_000, "test": 500}
        dataset = {"name": "mine", "own": own | {"classes": n_classes}}
        pair = {**MNIST_MLP, "dataset": dataset, "model": {"architecture": "MLP", "widths": [64]}}
        return size("audit_labels", pair, audit=True).megabytes

    in_float64 = 8 * 20_000 * 190 / 1e6
    assert 4 * in_float64 < asked(200) - asked(10) < 8 * in_float64


def test_moments_ask_for_their_own_size(size):
    pair = {**MNIST_MLP, "model": {"architecture": "MLP", "widths": [512]}}
    activations = {"store": "moments", "shard_gigabytes": 1e-9}
    probes = [{"kind": "MASC"}, {"kind": "VeLPIC"}]
    asked = size("extract_activations", pair, activations=activations, probes=probes)
    stored = size("extract_activations", pair, activations=activations | {"store": "examples"}, probes=probes)
    of_test, moments = 10_000 * 512 * 4 / 1e6, 2 * 8 * 10 * 512 * 513 / 1e6  # by corrupted and true labels
    assert asked.disk_megabytes == pytest.approx(of_test + moments, abs=2)
    assert asked.disk_megabytes < stored.disk_megabytes / 2


def test_an_edit_asks_for_the_activations_that_its_vectors_are_fitted_on(study):
    pair = study["pairs"][0] | MNIST_MLP | {"interventions": [{"edit": "velpic", "at_epoch": 1}]}
    original, edited = (
        next(
            run for run in read_study(study | {"pairs": [pair]}).runs.values() if bool(run.edit) == is_edited
        )
        for is_edited in (False, True)
    )
    more = job_size("edit_and_train", edited).megabytes - job_size("train", original).megabytes
    assert more >= 4 * 60_000 * 2048 / 1e6
