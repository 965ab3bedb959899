"""Study files: what is allowed, what it means, and clear words on every mistake."""

import copy
import datetime
import json
from pathlib import Path

import pytest
import yaml

from latentgen.errors import LatentgenError
from latentgen.study.config import read_study

CONFIG = Path(__file__).parents[2] / "config"
PAIR = ("pairs", 0)
DATASET, MODEL, TRAINING = (*PAIR, "dataset"), (*PAIR, "model"), (*PAIR, "training")
OPTIMIZER = (*TRAINING, "optimizer")
JARGON = (
    "tuple",
    "Tuple",
    "dict",
    "an instance",
    "validat",
    "Input",
    "pydantic",
    "union",
    "parse",
    "Value error",
)


def put(study, *path_and_value):
    """Set what is at a path in a study."""
    *path, key, value = path_and_value
    for part in path:
        study = study[part]
    study[key] = value


def mistakes(study):
    """Lines that a study file is refused with, less the first."""
    with pytest.raises(LatentgenError) as refusal:
        read_study(study)
    first, *lines = str(refusal.value).splitlines()
    assert first == f"The study file has {len(lines)} mistake{'s' if len(lines) > 1 else ''}:"
    assert not [word for word in JARGON if word in str(refusal.value)]
    return [line.strip() for line in lines]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        # unknown keys: at the top, in a list, in one of several kinds of settings
        (
            ("sedes",),
            1,
            "sedes: unknown key; did you mean 'seeds'? known: activations, audit, compare_with, ",
        ),
        ((*PAIR, "trainig"), 1, "pairs[0].trainig: unknown key; did you mean 'training'? known: dataset, "),
        (
            (*OPTIMIZER, "lerning_rate"),
            1,
            "pairs[0].training.optimizer.lerning_rate: unknown key; did you mean 'learning_rate'? "
            "known: learning_rate, momentum, name",
        ),
        ((*OPTIMIZER, "betas"), [0, 0], "pairs[0].training.optimizer.betas: unknown key; known: learning_"),
        ((*OPTIMIZER, "SGD"), 1, "pairs[0].training.optimizer.SGD: unknown key; known: learning_rate,"),
        ((*MODEL, "p(x)"), 1, "pairs[0].model.p(x): unknown key; known: architecture, layers, name, widths"),
        ((True,), 1, "True: keys must be text; YAML reads an unquoted on"),
        # wrong types
        (("study",), 3, "study: must be text (found: 3)"),
        (("seeds",), 3, "seeds: must be a list (found: 3)"),
        (("seeds",), None, "seeds: must be a list (found: null)"),
        (("seeds",), ["a"], 'seeds[0]: must be a whole number in digits (found: "a")'),
        (("seeds",), [1.5], "seeds[0]: must be a whole number (found: 1.5)"),
        (("noise",), {"kind": "symmetric", "p": [1]}, "noise: must be a list"),
        (("noise", 0, "p"), 0.4, "noise[0].p: must be a list (found: 0.4)"),
        (PAIR, "digits", 'pairs[0]: must be a block of keys with values (found: "digits")'),
        (DATASET, 7, "pairs[0].dataset: must be a block of keys with values (found: 7)"),
        (MODEL, "MLP", 'pairs[0].model: must be a block of keys with values (found: "MLP")'),
        (
            (*TRAINING, "shuffle"),
            "maybe",
            'pairs[0].training.shuffle: must be true or false (found: "maybe")',
        ),
        ((*TRAINING, "stop"), False, "pairs[0].training.stop: must be a block of keys"),
        (("probes",), ["MASC"], 'probes[0]: must be a block of keys with values (found: "MASC")'),
        # a boolean is no number
        (("seeds",), [0, True], "seeds[1]: must be a number, not true or false (found: true)"),
        (("noise", 0, "p"), [True], "noise[0].p[0]: must be a number"),
        ((*OPTIMIZER, "learning_rate"), True, "pairs[0].training.optimizer.learning_rate: must be a number"),
        ((*OPTIMIZER, "momentum"), False, "pairs[0].training.optimizer.momentum: must be a number"),
        ((*TRAINING, "batch_size"), True, "pairs[0].training.batch_size: must be a number"),
        (
            (*TRAINING, "stop"),
            {"train_accuracy": True},
            "pairs[0].training.stop.train_accuracy: must be a num",
        ),
        ((*TRAINING, "checkpoints"), [True], "pairs[0].training.checkpoints[0]: must be a number"),
        ((*MODEL, "widths"), [True], "pairs[0].model.widths[0]: must be a number"),
        (
            DATASET,
            {"name": "digits", "input_range": [False, 1]},
            "pairs[0].dataset.input_range[0]: must be a number",
        ),
        (
            ("probes",),
            [{"kind": "VeLPIC"}, {"kind": "MASC", "components": True}],
            "probes[1].components: must ",
        ),
        (("transfer",), {"keep_models_at": [True]}, "transfer.keep_models_at[0]: must be a number"),
        # out of range
        (("noise", 0, "p"), [0.4, 1.5], "noise[0].p[1]: must be at most 1 (found: 1.5)"),
        (("noise", 0, "p"), [-0.1], "noise[0].p[0]: must be at least 0 (found: -0.1)"),
        (("noise", 0, "p"), [0.12345], "noise[0].p[0]: must have at most four decimals"),
        (("noise", 0, "p"), [], "noise[0].p: must not be empty"),
        (("seeds",), [-1], "seeds[0]: must be at least 0 (found: -1)"),
        ((*MODEL, "widths"), [0], "pairs[0].model.widths[0]: must be greater than 0 (found: 0)"),
        ((*OPTIMIZER, "momentum"), 1, "pairs[0].training.optimizer.momentum: must be less than 1 (found: 1)"),
        (
            ("activations",),
            {"shard_gigabytes": float("inf")},
            "activations.shard_gigabytes: must be a finite",
        ),
        ((*TRAINING, "checkpoints"), [], "pairs[0].training.checkpoints: must not be empty"),
        (
            DATASET,
            {"name": "digits", "train_items": 2000},
            "pairs[0].dataset.train_items: digits has only 1437",
        ),
        (
            DATASET,
            {"name": "digits", "input_range": [1, 1]},
            "pairs[0].dataset.input_range: must be two numbers",
        ),
        (DATASET, {"name": "digits", "input_range": [1]}, "pairs[0].dataset.input_range[1]: missing"),
        (
            DATASET,
            {"name": "digits", "input_range": [0, 1, 2]},
            "pairs[0].dataset.input_range: must have no more than 2 values",
        ),
        (("study",), "My study", "study: must be lower-case letters, digits and underscores, a letter first"),
        # unknown names
        (
            DATASET,
            "fashon_mnist",
            "pairs[0].dataset.name: not a built-in data set; did you mean 'fashion_mnist'? known: ",
        ),
        (
            MODEL,
            {"architecture": "MPL"},
            "pairs[0].model.architecture: 'MPL' is not among the choices; did you mean 'MLP'? kn",
        ),
        (
            (*OPTIMIZER, "name"),
            "Adm",
            "pairs[0].training.optimizer.name: 'Adm' is not among the choices; did you mean 'Adam'? "
            "known: SGD,",
        ),
        (
            (*MODEL, "layers"),
            ["fc2", "fc_1", "xyz"],
            "pairs[0].model.layers: no layer 'fc_1', did you mean 'fc1'? known: input, fc1, fc2; "
            "no layer 'xyz',",
        ),
        (
            ("noise", 0, "kind"),
            "symetric",
            "noise[0].kind: 'symetric' is not among the choices; did you mean 'symmetric'?",
        ),
        (
            ("figures",),
            ["final", "dynamcs"],
            "figures[1]: 'dynamcs' is not among the choices; did you mean 'dyn",
        ),
        (
            ("fit_labels",),
            ["corupted"],
            "fit_labels[0]: 'corupted' is not among the choices; did you mean 'corr",
        ),
        (
            (*TRAINING, "checkpoints"),
            "papers",
            "pairs[0].training.checkpoints: 'papers' is not among the choices; did you mean 'paper'?",
        ),
        # missing
        (MODEL, {"widths": [3]}, "pairs[0].model: missing 'architecture', which says what kind it is"),
        (("probes",), [{"variance": 0.9}], "probes[0]: missing 'kind', which says what kind it is"),
        (OPTIMIZER, {"name": "Adam"}, "pairs[0].training.optimizer.learning_rate: missing"),
        # twice
        (("seeds",), [1, 2, 1], "seeds: each may be given once; twice or more: 1"),
        (
            ("noise", 0, "p"),
            [0, 0.4, 0.40, -0.0],
            "noise[0].p: each may be given once; twice or more: 0.0, 0.4",
        ),
        (
            (*MODEL, "layers"),
            ["fc2", "fc2"],
            "pairs[0].model.layers: each may be given once; twice or more: fc2",
        ),
        (
            ("fit_labels",),
            ["corrupted", "true", True],
            "fit_labels: each may be given once; twice or more: true",
        ),
        # what does not go together
        (
            ("probes",),
            [{"kind": "VeLPIC"}, {"kind": "MASC"}, {"kind": "MASC", "variance": 0.99}],
            "probes: each may be given once; twice or more: MASC",
        ),
        (
            ("probes",),
            [{"kind": "VeLPIC"}, {"kind": "MASC", "variance": 0.9, "components": 2}],
            "probes[1]: give variance or components, not both",
        ),
        (
            ("probes",),
            [{"kind": "MASC"}],
            "transfer: needs VeLPIC at every checkpoint among the probes; set it to null to skip it",
        ),
        (
            ("pairs", 0, "training", "checkpoints"),
            [0, 10, 31, 400],
            "pairs[0].training.checkpoints: training ends at epoch 30 (max_epochs), before 31, 400",
        ),
        (
            ("fit_labels",),
            ["true"],
            "transfer: needs 'corrupted' among fit_labels; set it to null to skip it",
        ),
        (
            (*MODEL, "layers"),
            ["fc1"],
            "transfer: needs the readout's input, fc2, among the layers of digits-mlp",
        ),
        (
            ("transfer",),
            {"keep_models_at": [0, 7]},
            "transfer.keep_models_at: no checkpoint is scheduled at epoch 7",
        ),
        (
            ("transfer",),
            {"heads": ["ridge"]},
            "transfer.heads: add velpic: the other heads are controls for it",
        ),
    ],
)
def test_a_mistake_is_reported_once_at_its_place_with_what_is_allowed(study, path, value, expected):
    put(study, *path, value)
    (line,) = mistakes(study)
    assert line.startswith(expected)


def test_all_mistakes_are_reported_at_once(study):
    put(study, "seeds", [1, 1])
    put(study, "noise", 0, "p", [2, "x"])
    put(study, "fit_labels", ["true"])
    put(study, "figures", ["difference"])
    put(study, "typo", 1)
    put(study, *DATASET, {"name": "digits", "train_items": 10**6, "test_items": 10**6})
    put(study, *TRAINING, "batch_size", 0)
    del study["pairs"][0]["training"]["max_epochs"]
    del study["study"]
    found = mistakes(study)
    assert sorted(line.split(":")[0] for line in found) == sorted(
        [
            "seeds",
            "noise[0].p[0]",
            "noise[0].p[1]",
            "transfer",
            "figures",
            "typo",
            "pairs[0].dataset.train_items",
            "pairs[0].dataset.test_items",
            "pairs[0].training.batch_size",
            "pairs[0].training.max_epochs",
            "study",
        ]
    )


def test_an_empty_file_lacks_all_that_has_no_default():
    assert mistakes({}) == [f"{key}: missing; it is required" for key in ("study", "seeds", "noise", "pairs")]


def test_pairs_of_one_name_are_refused_until_one_gets_another(study):
    other = copy.deepcopy(study["pairs"][0])
    other["training"]["batch_size"] = 8
    study["pairs"].append(other)
    assert mistakes(study) == [
        "pairs: each may be given once; twice or more: digits-mlp; give the model another name"
    ]
    other["model"]["name"] = "small_batches"
    assert [pair.name for pair in read_study(study).pairs] == ["digits-mlp", "digits-small_batches"]


def test_noises_of_one_name_are_refused(study):
    study["noise"].append({"kind": "symmetric", "p": [0.8]})
    assert mistakes(study) == ["noise: each may be given once; twice or more: symmetric"]
    study["noise"][1]["generator"] = "published"
    assert len(read_study(study).runs) == 6


def test_numbers_that_yaml_takes_for_text_are_numbers(study):
    given = yaml.safe_load("learning_rate: 1e-3")
    assert given == {"learning_rate": "1e-3"}  # so YAML 1.1 has it
    study["pairs"][0]["training"]["optimizer"] |= given
    assert read_study(study).pairs[0].training.optimizer.learning_rate == 0.001


def test_yamls_unquoted_true_is_the_name_of_the_true_labels(study):
    study["fit_labels"] = yaml.safe_load("[corrupted, true]")
    assert read_study(study).fit_labels == ("corrupted", "true")


def backwards(value):
    """Return the same value with the keys of every mapping in the opposite order."""
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in reversed(value)}
    return [backwards(item) for item in value] if isinstance(value, list) else value


def test_order_of_keys_and_the_way_numbers_are_written_change_nothing(study):
    put(study, "noise", 0, "p", [0, 1])
    put(study, *DATASET, {"name": "digits", "input_range": [-1, 1]})
    put(study, *TRAINING, "stop", {"train_accuracy": 1})
    other = backwards(study)
    put(other, "noise", 0, "p", [-0.0, 1.0])
    put(other, *DATASET, {"input_range": [-1.0, "1"], "name": "digits"})
    put(other, *TRAINING, "stop", {"train_accuracy": 1.0})
    put(other, *TRAINING, "batch_size", 32.0)
    # The text is what decides on a rerun.
    assert json.dumps(read_study(study).model_dump(mode="json")) == json.dumps(
        read_study(other).model_dump(mode="json")
    )
    assert list(read_study(study).runs) == list(read_study(other).runs)


@pytest.mark.parametrize(
    "value",
    [b"\x80", datetime.date(2026, 11, 30), {1, 2}, float("nan"), float("inf"), [{"a": [b"a"]}], {1: 2}],
)
def test_arguments_of_custom_code_must_be_recordable(study, value):
    """A value that JSON changes would be another one when it is read back, and two could become one."""
    noise = {"kind": "own", "path": "examples.own_function.my_data:neighbour", "p": [0.4]}
    put(study, "noise", [noise | {"arguments": {"step": value}}])
    (line,) = mistakes(study)
    assert line.startswith("noise[0].arguments: step must be text, a finite number, ")
    assert repr(value) in line
    put(study, "noise", [noise | {"arguments": {"step": {"sizes": [1, 2.5, True, None, "a"]}}}])
    settings = read_study(study)
    assert read_study(json.loads(json.dumps(settings.model_dump(mode="json")))) == settings


def test_settings_read_back_from_their_own_record(study):
    settings = read_study(study)
    assert read_study(json.loads(json.dumps(settings.model_dump(mode="json")))) == settings


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_there_are_can_be_read(path):
    study = read_study(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert study.study == path.stem.replace("-", "_")
    assert study.runs


def test_figures_are_all_that_can_be_drawn_unless_given(study):
    def figures(**changed):
        return read_study(study | changed).figures

    always = ("untrained", "cost", "subspaces")
    assert figures() == ("dynamics", "difference", "transfer", "training", "final", *always, "geometry")
    assert figures(transfer=None) == ("dynamics", "difference", "training", "final", *always, "geometry")
    assert "geometry" not in figures(transfer=None, fit_labels=["corrupted"])
    assert figures(transfer=None, probes=[{"kind": "MASC"}]) == ("dynamics", "training", "final", *always)
    assert figures(transfer=None, fit_labels=["true"]) == ("cost",)
    several = [{"kind": "MASC"}, {"kind": "MASC", "components": 1, "at": "ends"}, {"kind": "KNN"}]
    assert figures(transfer=None, probes=several) == (
        "dynamics", "training", "final", "untrained", "probes", "sensitivity", "cost", "subspaces",
    )  # fmt: skip
    logistic = [{"kind": "MASC"}, {"kind": "logistic", "at": "every"}]
    assert "difference" in figures(transfer=None, probes=logistic)
    own = {"kind": "sklearn", "path": "sklearn.linear_model:RidgeClassifier"}
    assert figures(transfer=None, probes=[own]) == ("untrained", "probes", "cost")
    assert "dynamics" in figures(transfer=None, probes=[own | {"at": "every"}])
    assert "protocols" in figures(compare_with="results/other/tables")
    assert "subspaces" not in figures(transfer=None, fit_labels=["corrupted"])
    assert {"edits", "relabel"} & set(figures()) == set()
    one = {"edit": "velpic", "at_epoch": 10, "max_epochs": 30}
    edited = copy.deepcopy(study["pairs"])
    edited[0]["interventions"] = [one, {"edit": "relabel"}]
    assert "edits" in figures(pairs=edited)
    assert "initialization" not in figures(pairs=edited)
    for edit, is_drawn in (("velpic", True), ("none", False)):
        at_start = copy.deepcopy(study["pairs"])
        at_start[0]["interventions"] = [{"edit": edit, "at_epoch": 0}]
        assert ("initialization" in figures(pairs=at_start)) is is_drawn
        assert "edits" not in figures(pairs=at_start)
    assert mistakes(study | {"pairs": edited, "figures": ["relabel"]}) == [
        "figures: 'relabel' needs the interventions relabel and early_stop"
    ]
    late = copy.deepcopy(study["pairs"])
    late[0]["training"]["checkpoints"] = [1]
    assert "untrained" not in figures(pairs=late)
    assert figures(figures=["final"]) == ("final",)
    assert mistakes(study | {"transfer": None, "figures": ["transfer"]}) == [
        "figures: 'transfer' needs transfer, which is null"
    ]
    masc = {"transfer": None, "probes": [{"kind": "MASC"}], "figures": ["final", "difference"]}
    assert mistakes(study | masc) == [
        "figures: 'difference' needs VeLPIC, or MASC and logistic, at every checkpoint, fitted with "
        "corrupted labels"
    ]


def test_runs_are_the_grid_in_the_order_of_the_file(study):
    runs = read_study(study).runs
    assert list(runs) == [f"digits-mlp-symmetric{p}-seed{seed}" for p in ("0.00", "0.40") for seed in (1, 2)]
    run = runs["digits-mlp-symmetric0.40-seed2"]
    assert (run.spec.p, run.spec.seed, run.label_seed) == (0.4, 2, 2)
    study["noise"][0]["generator"] = "published"
    assert {run.label_seed for run in read_study(study).runs.values()} == {42}


def test_shards_follow_from_the_size_of_the_activations(study):
    run = next(iter(read_study(study).runs.values()))
    assert run.layers == {"fc1": 32, "fc2": 16}
    assert run.checkpoint_bytes == 1797 * 48 * 4
    assert run.shards == [range(31)]
    study["activations"] = {"dtype": "float16", "shard_gigabytes": 5 * 1797 * 48 * 2 / 1e9}
    run = next(iter(read_study(study).runs.values()))
    assert run.checkpoints_per_shard == 5
    assert [shard.start for shard in run.shards] == [0, 8, 18]  # 0 1 2 4 6 | 8 … 16 | 18 20 25 30
    study["activations"]["shard_gigabytes"] = 1e-9
    assert read_study(study).runs.popitem()[1].checkpoints_per_shard == 1


def test_a_part_of_a_dataset_has_a_name_and_a_size_of_its_own(study):
    put(study, *DATASET, {"name": "mnist", "train_items": 1000, "test_items": 500})
    dataset = read_study(study).pairs[0].dataset
    assert (dataset.dataset_id, dataset.n_train, dataset.n_test) == ("mnist_1000x500", 1000, 500)


def test_what_a_layer_is_called_may_be_left_to_the_model(study):
    put(study, *MODEL, {"architecture": "CNN", "layers": ["fc3", "flatten"]})
    (run, *_) = read_study(study).runs.values()
    assert list(run.layers) == ["flatten", "fc3"]  # in the order of the network


def test_the_labels_of_every_p_are_for_clean_networks(study):
    study["fit_labels"] = ["corrupted", "every_p"]
    study["noise"] = [{"kind": "symmetric", "p": [0, 0.4, 0.125]}, {"kind": "none_true", "p": [0.4]}]
    runs = read_study(study).runs
    found = {name: run.other_labels for name, run in runs.items() if run.other_labels}
    assert set(found) == {"digits-mlp-symmetric0.00-seed1", "digits-mlp-symmetric0.00-seed2"}
    labels = found["digits-mlp-symmetric0.00-seed2"]
    assert list(labels) == ["corrupted0.40", "corrupted0.125"]
    assert labels["corrupted0.40"].slug == "digits-mlp-symmetric0.40-seed2"
    study["noise"][0]["p"] = [0.4]
    with pytest.raises(LatentgenError, match="fit_labels: every_p needs networks trained at p = 0"):
        read_study(study)
