"""Columns of the tables of a study, with the type of each.

Accuracies are counts, ``correct`` of ``total``; no accuracy is stored as a fraction if its counts are known.
Columns (`FACTS`) describe probes and interventions: names are for display, and are not parsed.
"""

IDENTITY = {
    "run": "str",
    "dataset": "str",
    "model": "str",
    "noise": "str",
    "p": "float64",
    "seed": "int64",
    "intervention": "str",
}
"""Columns that identify a run."""

GROUP = ["dataset", "model", "noise", "intervention"]
"""Columns that are equal for runs that differ only in p and seed."""

MEASURE = {
    "epoch": "int64",
    "layer": "str",
    "probe": "str",
    "fit_labels": "str",
    "split": "str",
    "eval_labels": "str",
}
"""Columns that identify a count within a run."""

COUNTS = {"correct": "int64", "total": "int64"}

EXTRAS = {
    "components_min": "Int64",
    "components_mean": "float64",
    "components_max": "Int64",
    "missing_classes": "Int64",
    "signs_against_mean": "Int64",
    "one_component_correct": "Int64",
    "one_component_equal": "Int64",
    "first_energy": "float64",
}
"""Properties that some probes report: components (k_c) over the classes, and the number of classes without an
example to fit. For VeLPIC also the number of its vectors that would have the opposite sign under the other
rule, the number of examples that MASC with one component classifies correctly, the number to which it gives
the same class as VeLPIC, and the fraction of the energy of a class along its vector (Σ⟨x, v_c⟩² / Σ‖x‖²,
classes by the evaluation labels, mean over classes)."""

EXAMPLES = {"correct_examples": "str"}
"""Which test examples are classified correctly (`latentgen.probes.correctness`): one bit each, in base64.
Stored at the last checkpoint for fits with corrupted labels; missing elsewhere."""

BY_CLASS = {"class_correct": "str", "class_total": "str", "confusion": "str"}
"""What the file of a probing job has of its counts by class (`latentgen.probes.correctness`); those of
earlier versions lack it."""

RESULT = MEASURE | COUNTS | EXTRAS
"""Columns of the counts of a run."""

PROBE_FACTS = {
    "probe_kind": "str",
    "variance": "float64",
    "components": "Int64",
    "sign": "str",
    "bias": "str",
    "fit_p": "float64",
}
"""Description of a probe. ``probe_kind``: its kind in the study file, ``model`` or ``transfer``. For MASC:
the fraction of ``variance`` or the number of ``components`` that each class keeps. For VeLPIC: the rule for
its ``sign``. For a transfer: its ``bias`` (``fitted``: the head's own). ``fit_p``: the p of the corrupted
labels that it was fitted with, which may be those of another run; missing for true and for permuted
labels."""

RELABEL_FACTS = {
    "relabel_from": "str",
    "relabel_start": "str",
    "relabel_subspaces": "str",
}
"""What ``relabel`` is besides: which probe the labels are from, which weights training starts from, and the
labels that the probe is fitted with."""

EDIT_FACTS = {
    "edit": "str",
    "at_epoch": "Int64",
    "edit_batch_size": "Int64",
    "relabel_layer": "str",
    **RELABEL_FACTS,
}
"""Description of an intervention, missing without one: its ``edit`` in the study file; for an edit midway,
its epoch, and the batch size of the resumed training (missing: the same); for ``relabel``, its layer
(``best`` and ``best_on_test``: chosen by a rule) and `RELABEL_FACTS`."""

LAYER_FACTS = {"module": "str", "pool": "str"}
"""The probed module of the network, and how its output is pooled (``flatten``: not at all)."""

REPLICATE = {"replicate": "Int64"}
"""The seed of the first run with exactly the same counts. If it is not the run's own seed, the run is a copy,
which tells nothing about the spread over seeds."""

FACTS = PROBE_FACTS | EDIT_FACTS | LAYER_FACTS | REPLICATE

ACCURACY = IDENTITY | RESULT | FACTS | EXAMPLES
"""The table of accuracies."""

BESIDE = ACCURACY | {"study": "str"}
"""Accuracies of another study, to be drawn beside this one's; ``study`` names it."""

EPOCH = {
    "epoch": "int64",
    "loss": "float64",
    "online_correct": "Int64",
    "online_total": "Int64",
    "test_correct": "int64",
    "test_total": "int64",
    "train_corrupted_correct": "Int64",
    "train_true_correct": "Int64",
    "train_total": "Int64",
    "seconds": "float64",
}
"""Columns of a history for every epoch."""

REDRAWN = {
    "redrawn_corrupted_correct": "Int64",
    "redrawn_true_correct": "Int64",
    "redrawn_total": "Int64",
}
"""Optional columns of a history for the training examples whose label was redrawn."""

HELD_OUT = {
    "rest_correct": "Int64",
    "rest_total": "Int64",
    "held_out_correct": "Int64",
    "held_out_total": "Int64",
}
"""Optional columns of a history for the test examples held out for early stopping, and for the rest."""

NOISY = {
    "noisy_correct": "Int64",
    "noisy_total": "Int64",
}
"""Optional columns of a history for the examples that the data set holds out, by their noisy labels."""

HISTORY = IDENTITY | EPOCH | REDRAWN | HELD_OUT | NOISY
"""The table of histories; those of older versions lack `NOISY`."""

SUMMARY = {
    "run": "str",
    "dataset": "str",
    "model": "str",
    "p": "float64",
    "seed": "int64",
    "intervention": "str",
    "what": "str",
    "layer": "str",
    "fit_labels": "str",
    "peak": "float64",
    "peak_epoch": "int64",
    "final": "float64",
    "final_epoch": "int64",
}
"""The summary: peak and end of every run."""

CHOSEN = {"chosen": "boolean"}
"""Further column of a summary with held-out examples: whether held-out noisy labels choose the layer for the
probe."""

_COMPARED = {
    "dataset": "str",
    "model": "str",
    "noise": "str",
    "intervention": "str",
    "p": "float64",
    "what": "str",
    "layer": "str",
    "reference": "str",
    "best": "bool",
    "seeds": "int64",
    "final": "float64",
    "reference_final": "float64",
    "difference": "float64",
    "low": "float64",
    "high": "float64",
    "p_value": "float64",
    "p_holm": "float64",
}
CLAIMED = {
    "claim": "str",
    "chosen": "boolean",
    "copies": "Int64",
    "what_only": "Int64",
    "reference_only": "Int64",
    "examples_low": "float64",
    "examples_high": "float64",
    "examples_p_value": "float64",
    "examples_p_holm": "float64",
    **EDIT_FACTS,
    "reference_edit": "str",
    "equal": "float64",
}
"""Columns that can be missing from comparisons of older versions."""

COMPARISONS = _COMPARED | CLAIMED
"""Paired comparisons at the end of training (`latentgen.tables.comparisons`). ``equal``: the fraction of test
examples to which both give the same class, where that was counted."""

ISSUES = IDENTITY | {
    "index": "int64",
    "given": "str",
    "suggested": "str",
    "true": "str",
    "score": "float64",
    "network_score": "float64",
    "raw_input_score": "float64",
    "is_issue": "bool",
    "layer": "str",
    "agreement": "float64",
}
"""The labels of audited runs, one row each (`latentgen.repairing.audit.Audit.table`): ``index`` is the
position among the training examples in the data set's file; ``true`` is missing if it is not known."""

AUDIT = IDENTITY | {
    "checkpoint": "str",
    "layer": "str",
    "probe": "str",
    "labels": "int64",
    "marked": "int64",
    "marked_wrong": "Int64",
    "wrong": "Int64",
    "estimated": "float64",
    "low": "float64",
    "high": "float64",
    "average_precision": "float64",
    "auroc": "float64",
    "network_average_precision": "float64",
    "network_auroc": "float64",
    "raw_input_average_precision": "float64",
    "raw_input_auroc": "float64",
}
"""Results of the audit of a run: what was chosen; the number of labels, of marked ones, of marked wrong ones
and of wrong ones; the estimated number of wrong labels, with a 95 % interval (only with held-out examples);
and how well scores rank wrong labels first: those of the audit, the network itself and the raw input."""

REPAIR = IDENTITY | {
    "kind": "str",
    "checkpoint": "str",
    "layer": "str",
    "probe": "str",
    "before": "float64",
    "after": "float64",
    "gain": "float64",
    "gain_low": "float64",
    "gain_high": "float64",
    "network_correct": "int64",
    "repaired_correct": "int64",
    "raw_input_correct": "int64",
    "total": "int64",
}
"""The repair of a run's network; accuracy on held-out noisy labels ``before`` and ``after``, if there are
any; and counts of test examples classified correctly, against their true labels."""

COST = {
    "epoch": "int64",
    "layer": "str",
    "width": "int64",
    "probe": "str",
    "fit_items": "int64",
    "predict_items": "int64",
    "fit_seconds": "float64",
    "fit_flops": "float64",
    "fit_bytes": "float64",
    "predict_seconds": "float64",
    "predict_flops": "float64",
    "predict_bytes": "float64",
    "device": "str",
    "threads": "int64",
}
"""Cost of a probe at a run's last checkpoint (`latentgen.probes.costs`); only seconds are measured."""

CALIBRATION = {
    "epoch": "int64",
    "network": "str",
    "nll": "float64",
    "ece": "float64",
    "temperature": "float64",
    "nll_scaled": "float64",
    "ece_scaled": "float64",
    "total": "int64",
}
"""Calibration of a network's logits on the test examples (`latentgen.repairing.transfer`). ``network`` is
``model`` or the name of a transfer. Values with a temperature are missing without held-out examples."""

CALIBRATIONS = IDENTITY | CALIBRATION
"""The table of calibration."""

QUALITY = {
    "layer": "str",
    "chosen": "bool",
    "wrong": "int64",
    "set_right": "int64",
    "right": "int64",
    "spoilt": "int64",
    "wrong_after": "int64",
}
"""How good the labels are that a probe predicts on a layer (`latentgen.repairing.relabelling.label_quality`),
and whether a network is trained on them."""

LABEL_QUALITY = IDENTITY | {"relabel_layer": "str", **RELABEL_FACTS} | QUALITY
"""The table of label quality."""

CLASSES = (
    IDENTITY | MEASURE | {"class": "int64", "counted": "int64", "correct": "int64", "predicted_as": "str"}
)
"""The table of classes: of how many examples of a class, how many were classified correctly.
``predicted_as``: how many were predicted as each class, a row of the confusion matrix; stored where
`EXAMPLES` is."""

COSTS = IDENTITY | COST
"""The table of costs."""
