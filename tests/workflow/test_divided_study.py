"""A study whose checkpoints are divided among jobs has the tables of one whose checkpoints are not."""

import copy
import sys

import numpy as np
import pandas as pd
import pytest
from project_copy import copy_of_project

from latentgen.study.config import read_study
from studies import TINY_STUDY

WHOLE, DIVIDED = 20.0, 1e-4
TABLES = ("accuracy.parquet", "classes.parquet", "summary.csv", "comparisons.csv")
N_RANGES = 3


def study(name, job_gigabytes):
    pair = copy.deepcopy(TINY_STUDY["pairs"][0])
    own = {"path": "arrays", "kind": "vectors", "shape": [12], "classes": 4, "train": 2500, "test": 1200}
    pair["dataset"] = {"name": "mine", "own": own}
    pair["training"] |= {"batch_size": 250, "max_epochs": 3, "stop": None, "checkpoints": [0, 1]}
    return TINY_STUDY | {
        "study": name,
        "noise": [{"kind": "symmetric", "p": [0.4]}],
        "pairs": [pair],
        "transfer": {"heads": ["velpic", "nearest_mean"], "keep_models_at": []},
        "activations": {"shard_gigabytes": 0.002, "job_gigabytes": job_gigabytes, "count_train": 700},
        "figures": [],
    }


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    workflow = copy_of_project(tmp_path_factory.mktemp("divided"))
    numbers = np.random.default_rng(0)
    centres = numbers.normal(size=(4, 12))
    folder = workflow.folder / "arrays"
    folder.mkdir()
    for split, size in (("train", 2500), ("test", 1200)):
        labels = numbers.integers(4, size=size)
        vectors = centres[labels] + numbers.normal(size=(size, 12))
        np.save(folder / f"{split}_vectors.npy", vectors.astype(np.float32))
        np.save(folder / f"{split}_labels.npy", labels)
    for name, job_gigabytes in (("whole", WHOLE), ("divided", DIVIDED)):
        workflow.write_study(study(name, job_gigabytes), f"{name}.yaml")
    return workflow


def test_tables_are_those_of_one_job_to_the_byte(workflow):
    planned = {name: workflow.planned(study=f"{name}.yaml") for name in ("whole", "divided")}
    shards = planned["whole"]["fit_probes"]
    assert shards == 2
    assert planned["divided"]["fit_probes"] == shards
    for step in ("extract_range", "fit_range", "score_range"):
        assert planned["divided"][step] == N_RANGES * shards
        assert step not in planned["whole"]
    assert "extract_activations" not in planned["divided"]
    for name in ("whole", "divided"):
        workflow.run(study=f"{name}.yaml")
    tables = {name: workflow.folder / f"results/{name}/tables" for name in ("whole", "divided")}
    for table in TABLES:
        assert (tables["divided"] / table).read_bytes() == (tables["whole"] / table).read_bytes(), table
    one, other = (pd.read_parquet(folder / "history.parquet") for folder in tables.values())
    pd.testing.assert_frame_equal(
        one.drop(columns="seconds"), other.drop(columns="seconds"), check_exact=True
    )
    accuracy = pd.read_parquet(tables["divided"] / "accuracy.parquet")
    assert set(accuracy["probe"]) >= {"MASC", "VeLPIC", "model", "transfer-zero", "transfer-nearest_mean"}
    assert set(accuracy.loc[accuracy["split"] == "train", "total"]) >= {700}
    left = [path.name for path in (workflow.folder / "results/divided/runs").rglob("*-*-*.h5")]
    assert left == []  # ranges are deleted once used
    said = workflow.process([sys.executable, "-m", "latentgen", "status", "divided.yaml"])
    assert "to do" not in said.stdout, said.stdout + said.stderr


def test_the_study_of_a_small_checkpoint_says_nothing_of_it():
    small = read_study(study("whole", WHOLE))
    assert {run.n_ranges for run in small.runs.values()} == {1}
    assert "job_gigabytes" not in small.model_dump(mode="json")["activations"]
