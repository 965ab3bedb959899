"""What a user is told when something is wrong: a clear message and a failing status, and nothing is left."""

import copy

import pytest

from studies import TINY_STUDY


def broken(**changes):
    study = copy.deepcopy(TINY_STUDY)
    study.update(changes)
    return study


def test_all_errors_of_a_study_file_are_reported_before_any_job_starts(empty_copy):
    study = broken(sedes=[1], seeds=["one"])
    study["pairs"][0]["model"]["width"] = [24]
    empty_copy.write_study(study)
    done = empty_copy.snakemake()
    assert done.returncode != 0
    assert "3 mistakes" in done.stderr
    assert "did you mean 'seeds'" in done.stderr
    assert "seeds[0]" in done.stderr
    assert "pairs[0].model.width" in done.stderr
    assert "did you mean 'widths'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (empty_copy.folder / "results").exists()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("results/tiny/runs/digits-mlp-symmetric0.40-seed9/history.csv", "has no run digits-mlp-"),
        ("results/tiny/runs/some-thing/history.csv", "is not the name of a run"),
        ("results/tiny/figures/dynamic.pdf", "has no figure dynamic"),
    ],
)  # fmt: skip
def test_what_the_study_does_not_have_is_reported(tiny, target, said):
    done = tiny.snakemake("--dry-run", target)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_a_loss_that_becomes_infinite_ends_the_job_with_the_way_out(diverged):
    workflow, done = diverged
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "in epoch 1" in said
    assert "learning rate 1e+30" in said
    assert "try a learning rate of 1e+29" in said
    assert "Traceback" not in said
    log = workflow.folder / "results/tiny/logs/train/digits_400x120-mlp-symmetric0.40-seed1.log"
    assert "Traceback" in log.read_text()
    assert not list((workflow.folder / "results/tiny").rglob("*.safetensors"))


def test_a_missing_dataset_is_reported_with_where_it_was_looked_for(empty_copy, tmp_path):
    study = broken()
    study["pairs"] = study["pairs"][:1]
    study["pairs"][0]["dataset"] = {"name": "cifar10"}
    empty_copy.write_study(study)
    done = empty_copy.snakemake(LATENTGEN_DATA_DIR=str(tmp_path / "nothing"))
    assert done.returncode != 0
    assert str(tmp_path / "nothing") in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not list((empty_copy.folder / "results/datasets").glob("*.h5"))


def test_missing_custom_data_is_one_message_in_a_real_run_too(empty_copy):
    study = broken()
    own = {"path": "data/mine.npz", "shape": [1, 8, 8], "classes": 10, "train": 300, "test": 100}
    study["pairs"][0]["dataset"] = {"name": "mine", "own": own}
    study["pairs"] = study["pairs"][:1]
    empty_copy.write_study(study)
    for _ in range(2):  # the first leaves no lock behind
        done = empty_copy.snakemake()
        said = done.stdout + done.stderr
        assert done.returncode != 0
        assert said.count("data/mine.npz does not exist: there is nothing at") == 1
        for noise in ("Traceback", "InputFunctionException", "Wildcards"):
            assert noise not in said
