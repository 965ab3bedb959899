"""Paired comparisons of final test accuracy: of probes, and of networks with an intervention.

Every row belongs to one claim, such as "VeLPIC on the chosen layer against the model, over p", and p-values
are corrected (Holm) within the claim. The chosen layer is the one on which the probe predicts most noisy
labels of held-out examples; without such examples, the one on which it gives most training examples their
true label. No test label is used for the choice, so tests on that layer stay valid.
"""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from latentgen.tables.columns import COMPARISONS, EDIT_FACTS, GROUP
from latentgen.tables.examples import UNKNOWN, ByExample, by_example
from latentgen.tables.facts import control_of, edits_of
from latentgen.tables.reading import typed
from latentgen.tables.selection import (
    ONE_COMPONENT,
    last_checkpoint,
    on_test,
    paired,
    with_one_component,
)
from latentgen.tables.statistics import (
    holm,
    mean_difference_over_seeds,
    mean_over_seeds,
    paired_p_value,
    without_copies,
)

RUN = [*GROUP, "p", "seed"]
BETWEEN_PROBES = (("VeLPIC", "MASC"), ("MASC", "logistic"), ("VeLPIC", "logistic"))
"""Probes that are compared with each other on the same layer: probe and references."""


class Pairs(NamedTuple):
    """Final counts, with those of a reference of the same seed."""

    counts: pd.DataFrame
    what: str
    reference: str
    reference_edit: str | None = None
    """The reference's intervention, if it has one."""


def comparisons_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return paired comparisons of final test accuracy, same p and same seed: columns `COMPARISONS`.

    Every probe and transfer is compared with the model, and MASC, VeLPIC and logistic regression with each
    other on the same layer, all fitted with corrupted labels; and VeLPIC with MASC with one component, to
    which it is equal if no activation is negative (docs/velpic-sign.md): ``equal`` is the fraction of test
    examples to which both give the same class. If ``what`` is the model itself, it is that of
    a run with an intervention, and the reference is the model of its control, or of the run without an
    intervention; with early stopping, on the test examples that were not used for stopping.

    Intervals are `mean_difference_over_seeds`; the test is the two-sided paired t test. ``p_holm`` is
    corrected (Holm) within the ``claim``. ``best`` marks the layer on which ``what`` is most accurate on the
    same test examples, ``chosen`` the one that was chosen without them. ``copies`` is the number of seeds
    left out because their runs equal another seed's in every count.

    Seeds show how networks differ, and few seeds show little. If the table stores which test examples are
    classified correctly, the same pairs are also compared example by example (`latentgen.tables.examples`):
    ``what_only`` and ``reference_only`` count examples that only one of the two classifies correctly,
    ``examples_low`` and ``examples_high`` are an interval over seeds and examples, ``examples_p_value`` is
    McNemar's, over examples and for these particular networks, and ``examples_p_holm`` its correction.
    """
    pairs = [*_probes_compared(accuracy), *_interventions_compared(accuracy)]
    table = pd.concat([_averaged(pair) for pair in pairs], ignore_index=True)
    place = [*GROUP, "p", "what", "reference"]
    table["best"] = table.groupby(place)["final"].rank(method="first", ascending=False) == 1
    table["chosen"] = _chosen(table, accuracy)
    table["claim"] = _claims(table)
    table["p_value"] = paired_p_value(table["difference"], table["deviation"], table["seeds"])
    claims = table.groupby([*GROUP, "claim"])
    table["p_holm"] = claims["p_value"].transform(holm)
    table["examples_p_holm"] = claims["examples_p_value"].transform(holm)
    return typed(table.sort_values([*GROUP, "p"], kind="stable", ignore_index=True), COMPARISONS)


def _probes_compared(accuracy: pd.DataFrame) -> Iterator[Pairs]:
    """Yield pairs of final counts: probes and transfers with the model, and probes with each other."""
    final = last_checkpoint(accuracy[on_test(accuracy)])
    model = final[final["probe"] == "model"]
    for what in (name for name in final["probe"].unique() if name != "model"):
        yield Pairs(paired(final[final["probe"] == what], model, RUN), what, "model")
    for what, reference in BETWEEN_PROBES:
        this, other = (final[final["probe"] == name] for name in (what, reference))
        yield Pairs(paired(this, other, [*RUN, "layer"]), what, reference)
    yield Pairs(with_one_component(final[final["probe"] == "VeLPIC"]), "VeLPIC", ONE_COMPONENT)


def _interventions_compared(accuracy: pd.DataFrame) -> Iterator[Pairs]:
    """Yield pairs of final counts of networks with an intervention, and of their references."""
    final = last_checkpoint(accuracy[(accuracy["probe"] == "model") & (accuracy["eval_labels"] == "true")])
    edits = edits_of(accuracy)
    for name in edits.index[edits["edit"] != "rewind"]:  # at its last epoch it is the network itself
        of_split = final[final["split"] == ("test_rest" if pd.isna(edits["at_epoch"][name]) else "test")]
        done = of_split[of_split["intervention"] == name]
        for reference in filter(None, (control_of(name, edits), "none")):
            other = of_split[of_split["intervention"] == reference].assign(intervention=name)
            label = f"model, {'unedited' if reference == 'none' else reference}"
            yield Pairs(paired(done, other, RUN), "model", label, edits["edit"].get(reference))


def _averaged(pairs: Pairs) -> pd.DataFrame:
    """Average over seeds, layer by layer."""
    by = [*GROUP, "p", "layer"]
    both = pairs.counts
    table = mean_difference_over_seeds(both, by).rename(columns={"mean": "difference"})
    means = mean_over_seeds(both, by)["mean"]
    seeds = both.groupby(by, sort=False, dropna=False)["seed"].size().to_numpy()
    facts = both.groupby(by, sort=False, dropna=False)[list(EDIT_FACTS)].first().reset_index(drop=True)
    replicates = without_copies(both).groupby(by, sort=False, dropna=False)
    examples = [(by_example(rows) or UNKNOWN)._asdict() for _, rows in replicates]
    table = table.join(pd.DataFrame(examples, columns=list(ByExample._fields)))
    equal = (replicates["one_component_equal"].sum() / replicates["total"].sum()).astype(float)
    return table.assign(
        equal=equal.to_numpy() if pairs.reference == ONE_COMPONENT else float("nan"),
        what=pairs.what,
        reference=pairs.reference,
        reference_edit=pairs.reference_edit,
        final=means,
        reference_final=means - table["difference"],
        copies=seeds - table["seeds"],
        **facts,
    )


def _chosen(table: pd.DataFrame, accuracy: pd.DataFrame) -> "pd.Series[bool]":
    """Mark the layer that is chosen for each probe without test labels, over the seeds (`choosing_rows`).

    Without rows to choose by, no layer is chosen, unless there is only one.
    """
    by = [*GROUP, "p", "probe", "layer"]
    rows = last_checkpoint(choosing_rows(accuracy))
    correct = rows.groupby(by, sort=False)["correct"].sum().rename("right")
    names = ["what" if name == "probe" else name for name in by]
    right = table[names].join(correct.rename_axis(names), on=names)["right"]
    place = [*GROUP, "p", "what", "reference"]
    ranks = right.groupby([table[name] for name in place]).rank(method="first", ascending=False)
    alone = table.groupby(place)["layer"].transform("size") == 1
    return (ranks == 1) | alone


def choosing_rows(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the counts by which a probe's layer is chosen, of fits with corrupted labels.

    They are on held-out examples against their corrupted labels or, without such examples, on training
    examples against their true labels.
    """
    held_out = accuracy["split"] == "held_out"
    train = (accuracy["split"] == "train") & (accuracy["eval_labels"] == "true")
    train &= ~accuracy["dataset"].isin(accuracy.loc[held_out, "dataset"])
    return accuracy[(held_out | train) & (accuracy["fit_labels"] == "corrupted")]


def _claims(table: pd.DataFrame) -> "pd.Series[str]":
    """Return the claim that each comparison is part of, in words."""
    what = table["what"].where(table["edit"].isna(), table["intervention"])
    place = [*GROUP, "p", "what", "reference"]
    several = table.groupby(place)["layer"].transform("size") > 1
    chosen = table["chosen"].groupby([table[name] for name in place]).transform("any")
    layer = pd.Series(" on the other layers", index=table.index).mask(table["chosen"], " on the chosen layer")
    layer = layer.mask(~chosen, " on all layers").where(several, "")
    over = pd.Series(", over p", index=table.index).mask(several & ~table["chosen"], ", over p and layers")
    return (
        what
        + layer
        + " against the "
        + table["reference"].str.replace("model, ", "model ", regex=False)
        + over
    )
