"""A study that stores moments in place of training examples, beside one that stores these."""

import pandas as pd
import pytest
from project_copy import copy_of_project

from studies import TINY_STUDY

STORE = ("examples", "moments")
COUNTS = ["run", "epoch", "layer", "probe", "fit_labels", "split", "eval_labels", "correct", "total"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    workflow = copy_of_project(tmp_path_factory.mktemp("moments"))
    study = TINY_STUDY | {"noise": [{"kind": "symmetric", "p": [0.4]}], "pairs": TINY_STUDY["pairs"][:1]}
    found = {}
    for store in STORE:
        activations = study["activations"] | {"store": store, "keep": True}
        workflow.write_study(study | {"study": store, "activations": activations, "figures": []})
        workflow.run()
        found[store] = pd.read_parquet(workflow.folder / f"results/{store}/tables/accuracy.parquet")
    return found


def test_counts_on_the_other_splits_are_the_same(tables):
    examples, moments = (tables[store][COUNTS] for store in STORE)
    of_probes = examples["probe"] != "model"
    expected = examples[~of_probes | ~examples["split"].str.startswith("train")]
    pd.testing.assert_frame_equal(moments.reset_index(drop=True), expected.reset_index(drop=True))
    assert len(moments) < len(examples)
