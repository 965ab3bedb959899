"""What a study will cost is told before it starts, and follows from its sizes."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from test_export import STUDY

from latentgen.errors import LatentgenError
from latentgen.jobs.estimate import Cost, check_disk, cost_in_words, free_bytes, planned_cost
from latentgen.jobs.steps import STEPS
from latentgen.networks.architectures import make_network
from latentgen.study.config import read_study

RULES = ("train", "extract_activations", "fit_probes", "transfer_weights")


def run_of(**changes):
    study = copy.deepcopy(STUDY)
    study["pairs"][0]["model"] = {"architecture": "MLP", "widths": [24, 40]}
    study["pairs"][0]["training"]["checkpoints"] = [0, 1, 2]
    return next(iter(read_study(study | changes).runs.values()))


def test_kept_checkpoints_are_counted_by_the_byte():
    run = run_of()
    network = make_network(run.pair.model.model_dump(), (1, 8, 8), 10)
    weights = sum(4 * math.prod(tensor.shape) for tensor in network.state_dict().values())
    assert planned_cost([("train", run)], cores=1).kept_bytes == 3 * weights
    assert torch.get_default_device() == torch.device("cpu")


def test_activations_count_at_the_peak_and_are_kept_only_if_asked_for():
    stored = 3 * 4 * (1437 + 360) * (24 + 40)
    gone = planned_cost([("extract_activations", run_of())], cores=1)
    assert (gone.kept_bytes, gone.peak_bytes) == (0, stored)
    kept = planned_cost([("extract_activations", run_of(activations={"keep": True}))], cores=1)
    assert (kept.kept_bytes, kept.peak_bytes) == (stored, stored)


def test_only_shards_that_are_in_use_count_at_the_peak():
    jobs = [("extract_activations", run_of())] * 20
    one = planned_cost(jobs[:1], cores=1).peak_bytes
    assert planned_cost(jobs, cores=1).peak_bytes == 2 * one
    assert planned_cost(jobs, cores=4).peak_bytes == 8 * one


def test_scratch_files_count_at_the_peak_once_for_each_core_and_are_not_kept(monkeypatch):
    without = planned_cost([("fit_probes", run_of())] * 5, cores=2)
    monkeypatch.setitem(STEPS, "fit_probes", replace(STEPS["fit_probes"], scratch=lambda run: 10**9))
    with_scratch = planned_cost([("fit_probes", run_of())] * 5, cores=2)
    assert with_scratch.kept_bytes == without.kept_bytes
    assert with_scratch.peak_bytes - without.peak_bytes == 2 * 10**9


def test_more_cores_take_less_time_but_never_less_than_the_longest_job():
    jobs = [(rule, run_of()) for rule in RULES] * 8 + [("draw_figure", None)]
    one, two, many = (planned_cost(jobs, cores).seconds for cores in (1, 2, 1000))
    assert one == pytest.approx(2 * two)
    assert 0 < many < two
    assert planned_cost(jobs[:1], 1000).seconds <= many


def test_what_was_measured_is_believed():
    jobs = [("train", run_of())] * 10
    slow, fast = (planned_cost(jobs, 1, {"train": seconds}).seconds for seconds in (100.0, 1.0))
    assert slow - fast == pytest.approx(990)


def test_what_does_not_fit_the_disk_is_refused_with_the_ways_out():
    cost = Cost(jobs=9, seconds=60, megabytes=700, kept_bytes=10**9, peak_bytes=3 * 10**12)
    with pytest.raises(LatentgenError, match=r"may take 3 TB at the peak; 2 GB are free.*--no-hooks"):
        check_disk(cost, free=2 * 10**9)
    assert "will not fit" in cost_in_words(cost, 2, 2 * 10**9)
    check_disk(cost, free=4 * 10**12)
    words = cost_in_words(cost, 2, 4 * 10**12)
    assert "9 jobs" in words
    assert "1 min 0 s on 2 cores" in words
    assert "0.7 GB of memory" in words
    assert "1 GB kept and 3 TB at the peak, of 4 TB free" in words
    assert "will not fit" not in words


def test_free_space_is_that_of_the_nearest_folder_there_is(tmp_path):
    assert free_bytes(tmp_path / "not/there/yet") == pytest.approx(free_bytes(tmp_path), rel=0.1)
