"""The study of the papers: every pair, experiment and p, and small enough to be planned."""

from pathlib import Path

import pytest
import yaml

from latentgen.study.config import load_study, read_study

PAPER = Path(__file__).parents[2] / "config/paper.yaml"


@pytest.fixture(scope="module")
def study():
    return load_study(PAPER)


def test_every_pair_and_p_is_there_with_five_seeds(study):
    assert {pair.name for pair in study.pairs} == {
        "mnist-mlp", "cifar10-mlp", "mnist-cnn", "fashion_mnist-cnn", "cifar10-cnn", "tiny_imagenet-alexnet",
        "cifar100-alexnet", "cifar10-resnet18", "mnist-cnn_dropout", "fashion_mnist-cnn_dropout",
        "cifar10-cnn_dropout", "cifar10-resnet18_dropout",
    }  # fmt: skip
    assert len(study.seeds) >= 5
    assert study.noise[0].p == (0, 0.2, 0.4, 0.6, 0.8, 1)
    assert study.protocol == "sound"


def test_every_probe_and_control_is_there(study):
    assert {probe.probe_name for probe in study.probes} == {
        "MASC", "VeLPIC", "logistic", "MASC-0.25", "MASC-0.5", "MASC-0.75", "MASC-1pc", "nearest_mean",
        "KNN", "LDA", "QDA",
    }  # fmt: skip
    assert study.fit_labels == ("corrupted", "true", "permuted", "every_p")


@pytest.mark.parametrize("name", ["paper", "paper-small"])
def test_every_edit_and_relabelling_is_there(name):
    study = load_study(PAPER.with_name(f"{name}.yaml"))
    interventions = {run.spec.intervention for run in study.runs.values()}
    edits = ("velpic", "none", "velpic_old_norms", "nearest_mean", "blend25", "blend50", "blend75", "random")
    at_40 = {f"{edit}_at_40" for edit in edits}
    at_0 = {f"{edit}_at_0" for edit in ("velpic", "none", "velpic_old_norms", "random")}
    at_0 |= {f"velpic_at_0_from_{source}" for source in ("0_1", "another_draw", "true")}
    assert interventions == {
        "none", "rewind_readout", "rewind_fc3", *at_0, *at_40, "velpic_at_10", "none_at_10",
        "relabel_masc_best", "relabel_masc_best_on_test_memorized",
        "relabel_masc_best_on_test_memorized_true", "early_stop",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["paper", "paper-small"])
@pytest.mark.parametrize("protocol", ["sound", "published"])
def test_retraining_is_done_afresh_and_as_in_the_papers_under_both_protocols(name, protocol):
    study = read_study(yaml.safe_load(PAPER.with_name(f"{name}.yaml").read_text()) | {"protocol": protocol})
    relabel = [one for one in study.pairs[0].interventions if one.edit == "relabel"]
    assert [(one.start, one.subspaces) for one in relabel] == [
        ("initial", "corrupted"), ("memorized", "corrupted"), ("memorized", "true"),
    ]  # fmt: skip
    afresh, *theirs = relabel
    assert (afresh.layer, afresh.patience, afresh.max_epochs, afresh.result) == ("best", 10, None, "best")
    for one in theirs:
        assert (one.layer, one.patience, one.max_epochs, one.result) == ("best_on_test", 3, 30, "last")


def test_edits_midway_are_done_at_every_noise_level_of_the_papers(study):
    at_40 = [one for one in study.pairs[0].interventions if getattr(one, "at_epoch", None) == 40]
    done = {one.edit: one.p for one in at_40}
    assert done["velpic"] == done["none"] == (0, 0.2, 0.4, 0.6, 0.8)


def test_the_small_study_has_every_experiment_of_the_whole_one(study):
    small = load_study(PAPER.with_name("paper-small.yaml"))
    assert [probe.probe_name for probe in small.probes] == [probe.probe_name for probe in study.probes]
    assert small.fit_labels == study.fit_labels
    assert small.figures == study.figures
    assert any(getattr(pair.model, "dropout", 0) for pair in small.pairs)
    assert {0, 1} < set(small.noise[0].p)
    assert len(small.seeds) >= 2


def test_every_figure_is_asked_for_and_both_protocols_once_the_other_is_done(study):
    alone = {"dynamics", "difference", "transfer", "final", "untrained", "probes", "sensitivity", "cost"}
    alone |= {
        "edits",
        "edited_layers",
        "initialization",
        "relabel",
        "label_quality",
        "subspaces",
        "geometry",
        "rewind",
        "training",
    }
    assert set(study.figures) == alone
    both = yaml.safe_load(PAPER.read_text()) | {"compare_with": "results/paper_published/tables"}
    assert set(read_study(both).figures) == alone | {"protocols"}


@pytest.mark.parametrize("name", ["paper", "paper-small"])
def test_raw_pixels_and_every_usual_layer_of_each_mlp_and_cnn_are_probed(name):
    pairs = load_study(PAPER.with_name(f"{name}.yaml")).pairs
    small = [pair for pair in pairs if pair.model.architecture in ("MLP", "CNN")]
    assert small
    for pair in small:
        shape = pair.dataset.info.shape
        assert tuple(pair.model.probed_layers(shape)) == ("input", *pair.model.usual_layers(shape))


def test_every_edit_has_a_control_that_differs_in_nothing_else(study):
    edited = {run.spec for run in study.runs.values() if run.edit}
    controls = {spec for spec in edited if spec.intervention.startswith("none_at_")}
    assert edited > controls
    for name, run in study.runs.items():
        if run.edit:
            control = study.runs[name.replace(run.spec.intervention, f"none_at_{run.edit.at_epoch}")]
            assert control.edit.edit == "none"
            assert control.training == run.training
            assert control.pair == run.pair


def test_there_are_fewer_than_8000_jobs(study):
    runs = study.runs.values()
    labels = {(run.spec.dataset, run.spec.noise_level, run.label_seed) for run in runs}
    per_shard = sum((2 + bool(run.transfer)) * len(run.shards) for run in runs)
    relabelled = sum(bool(run.relabel) for run in runs)
    jobs = len(study.pairs) + len(labels) + len(runs) + per_shard + relabelled
    assert jobs + len(study.drawings) + 3 < 8000
