"""The figures that a study can have: what each shows, what it needs from a study, and the code that draws it.

The code is named by import path, so that reading a study file imports neither pandas nor Matplotlib.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from latentgen.runtime.import_paths import load
from latentgen.study.figure_needs import Contents
from latentgen.study.layout import TABLE_OF_ANGLES, TABLE_OF_LABEL_QUALITY, TABLES_BESIDE


@dataclass(frozen=True)
class FigureKind:
    """A figure.

    `table` computes the numbers, `draw` computes nothing. So all plotted numbers are in a table, which is
    kept beside the figure.
    """

    name: str
    """Its name in study files."""
    title: str
    caption: str
    """What to look at, in the report."""
    table_path: str
    """Import path of a function that takes the pair's tables (`latentgen.figures.material.Material`) and
    returns a data frame."""
    draw_path: str
    """Import path of a function that takes that data frame and the level of chance (None if it is not known)
    and returns a Matplotlib figure."""
    lacks: Callable[[Contents], str] = lambda study: ""
    """Returns what a study lacks for the figure; an empty text if nothing."""
    shows_probes: bool = True
    """Whether it shows probes, and not only models."""
    interventions: frozenset[str] = frozenset()
    """A pair has the figure only if it has interventions of these kinds."""

    is_usual: Callable[[Contents], bool] = lambda study: True
    """Whether it is drawn by default, if a study names no figures."""
    of_study: bool = False
    """Whether there is one figure for all pairs of the study."""
    needs_readout: bool = False
    """Whether a pair has the figure only if its network has a readout that can be edited."""
    needs_truth: bool = False
    """Whether a pair has the figure only if the true training labels are known."""
    further_table: str = ""
    """The table it is drawn from besides accuracies, fidelity and costs."""

    @property
    def table(self) -> Callable[..., Any]:
        """The function that computes the plotted table."""
        function: Callable[..., Any] = load(self.table_path)
        return function

    @property
    def draw(self) -> Callable[..., Any]:
        """The function that draws that table."""
        function: Callable[..., Any] = load(self.draw_path)
        return function

    @property
    def code(self) -> dict[str, Any]:
        """The params of the job that draws it, as plain values."""
        return {
            "draw": self.draw_path,
            "name": self.name,
            "shows_probes": self.shows_probes,
            "table": self.table_path,
        }

    @property
    def modules(self) -> list[str]:
        """The modules with its code."""
        return sorted({path.partition(":")[0] for path in (self.table_path, self.draw_path)})


_FITTED = "fitted with corrupted labels"


Need = Callable[[Contents], str]


def _needs(condition: Callable[[Contents], Any], lacking: str) -> Need:
    return lambda study: "" if condition(study) else lacking


def _both(first: Need, second: Need) -> Need:
    return lambda study: first(study) or second(study)


_EVERY_CHECKPOINT = _needs(lambda study: study.every, f"a probe at every checkpoint, {_FITTED}")
_MASC_OR_VELPIC = _needs(lambda study: study.shown & {"MASC", "VeLPIC"}, f"MASC or VeLPIC {_FITTED}")


def _kind(name: str, title: str, caption: str, module: str = "", **more: Any) -> FigureKind:
    """Return a built-in figure, whose module and functions are named after it."""
    code = f"latentgen.figures.{module or name}"
    return FigureKind(name, title, caption, f"{code}:{name}_table", f"{code}:draw_{name}", **more)


FIGURES: Mapping[str, FigureKind] = {
    kind.name: kind
    for kind in (
        _kind(
            "dynamics",
            "Accuracy while the network memorizes",
            "Black: the model on the test set. With noisy labels it rises, then falls while accuracy on the "
            "noisy training labels (grey) goes to 100 %. Coloured: probes on the network’s layers, fitted "
            "with the same noisy labels. Where they stay above the black line, the layers retain what the "
            "output has lost.",
            lacks=_EVERY_CHECKPOINT,
        ),
        _kind(
            "difference",
            "Difference between probes",
            "One probe’s test accuracy minus another’s, for the same layer, labels and run. Above zero, the "
            "first probe is better. MASC-1pc is MASC with one component: the same direction as VeLPIC’s, "
            "without its sign. If no activation is negative, as after ReLU, no entry of that direction is "
            "negative either (Perron). The largest product is then the largest square, and both predict the "
            "same class; on other activations they can differ. “Same class” is the lowest fraction of test "
            "examples over layers, epochs and seeds.",
            lacks=_needs(
                lambda study: "VeLPIC" in study.every or {"MASC", "logistic"} <= study.every,
                f"VeLPIC, or MASC and logistic, at every checkpoint, {_FITTED}",
            ),
        ),
        _kind(
            "transfer",
            "The model with VeLPIC’s vectors in its readout",
            "Black: the model as trained. Dashed and dotted: the same model with its readout weights "
            "replaced and no further training. Where they are above the black line, the edit restores test "
            "accuracy. With bias zero the edited model equals the last layer’s VeLPIC probe (broad pale "
            "line). Solid coloured lines: other linear classifiers in the readout, if any, fitted on the "
            "same activations and labels. If they restore as much, the gain is not due to VeLPIC. Below, the "
            "same networks on training examples: how many redrawn examples get their true label back, and "
            "how many given labels, which had been memorized, are lost.",
            lacks=_needs(lambda study: study.transfers, "transfer, which is null"),
            needs_readout=True,
        ),
        _kind(
            "training",
            "Probes on the training examples",
            "Black: the model, which memorizes the given labels, those of redrawn examples (whose label was "
            "redrawn) last. Coloured: probes on its layers, fitted with the same given labels. Where they "
            "are above the black line on redrawn examples and true labels, and below it on their given "
            "labels, the layer retains true labels of examples whose wrong label the output has memorized. "
            "Untouched examples, whose given label is true, show the cost. MASC’s subspaces contain most of "
            "each example that they were fitted with, so MASC repeats given labels; VeLPIC’s one vector per "
            "class cannot.",
            lacks=_needs(
                lambda study: study.every & {"MASC", "VeLPIC"},
                f"MASC or VeLPIC at every checkpoint, {_FITTED}",
            ),
        ),
        _kind(
            "final",
            "Test accuracy at the end of training, by noise",
            "The distance between the black line (the model) and the others is the latent generalization: "
            "information about the true labels that the layers retain and the model’s output has lost. At "
            "p = 1, a control, the labels carry no information.",
            lacks=_MASC_OR_VELPIC,
        ),
        _kind(
            "untrained",
            "The untrained network (epoch 0)",
            "Probes on a network that has learned nothing. Their accuracy comes from the images and the "
            "random weights alone; trained layers have to beat it.",
            module="bars",
            lacks=_both(
                _needs(lambda study: study.shown, f"a probe with its usual settings, {_FITTED}"),
                _needs(lambda study: study.has_epoch_0, "a checkpoint at epoch 0"),
            ),
        ),
        _kind(
            "probes",
            "Kinds of probes at the end of training, by layer",
            "Bars: probes on the trained network, fitted with the noisy labels; black line: the model’s own "
            "output. A bar shows an effect of training only if it is above both controls: the same probe on "
            "the untrained network (circles) and fitted with permuted labels (crosses).",
            module="bars",
            lacks=_needs(
                lambda study: study.shown - {"MASC", "VeLPIC"},
                f"another probe than MASC and VeLPIC, {_FITTED}",
            ),
        ),
        _kind(
            "sensitivity",
            "MASC by the fraction of each class’s variance it keeps",
            "A flat line means that the number of directions in a class’s subspace does not matter. With "
            "noisy labels, fewer directions may help or hurt. The papers keep 0.99.",
            lacks=_needs(
                lambda study: study.mascs > 1, f"MASC with several fractions of the variance, {_FITTED}"
            ),
        ),
        _kind(
            "depth",
            "Accuracy by layer",
            "How well each layer predicts the true labels, at the end and at its best checkpoint (selected "
            "on the same test examples, so slightly optimistic). Accuracy is due to training only where it "
            "is above both controls: the same layer of the untrained network (grey) and the raw input "
            "(dotted).",
            lacks=_EVERY_CHECKPOINT,
            is_usual=lambda study: study.is_deep,
        ),
        _kind(
            "heatmap",
            "Accuracy by layer and epoch",
            "Each row is a layer, from the input upwards; the topmost is the model itself. With noisy labels "
            "the model’s row darkens as the network memorizes. Rows that stay bright retain the true labels.",
            lacks=_EVERY_CHECKPOINT,
            is_usual=lambda study: study.is_deep,
        ),
        _kind(
            "architectures",
            "All networks of the study",
            "Where the filled black point is far below the open one, the network has memorized its noisy "
            "labels. A probe above the filled point shows latent generalization, as far as it is also above "
            "the raw input and the same layer of the untrained network (open). Its layer was chosen without "
            "test labels: by held-out noisy labels if there are any, else by training examples. Transfer "
            "shows how much VeLPIC’s vectors in the readout restore.",
            lacks=_MASC_OR_VELPIC,
            is_usual=lambda study: study.is_deep and study.n_pairs > 1,
            of_study=True,
        ),
        _kind(
            "cost",
            "Cost of the probes",
            "Each probe fitted once more by itself at the end of training, for these numbers only: in the "
            "study, all MASC and VeLPIC probes of a layer share one decomposition per class. Seconds were "
            "measured on this machine and vary. Operations and bytes follow from formulas "
            "(latentgen/probes/costs.py): large products and decompositions, and the bytes that must be "
            "moved at least once.",
            lacks=_both(
                _needs(lambda study: not study.only_variants, "a probe with its usual settings"),
                _needs(lambda study: study.stores_examples, "activations.store: examples"),
            ),
        ),
        _kind(
            "protocols",
            "The same networks in two studies",
            "The model and the probes on its last layer. Solid: this study. Dashed: the other. The protocols "
            "differ in several settings, so no difference can be attributed to a single one. Each study has "
            "its own seeds and intervals; nothing is paired.",
            lacks=_needs(lambda study: study.compares, "compare_with, the tables of another study"),
            further_table=TABLES_BESIDE,
        ),
        _kind(
            "edits",
            "Networks edited midway, and trained further",
            "Each coloured line is the same network with its readout changed at the epoch named in the "
            "legend. Black: the unedited network. Grey: the control, which only gets a fresh optimizer. The "
            "effect of an edit is its distance from the grey line. If training ended before that epoch, the "
            "final weights were edited. Where redrawn examples are classified as their true label, the "
            "network has forgotten the noise.",
            lacks=_needs(
                lambda study: "edit" in study.interventions,
                "an intervention that edits the readout, at epoch 1 or later",
            ),
            shows_probes=False,
            interventions=frozenset({"edit"}),
        ),
        _kind(
            "edited_layers",
            "Every layer of networks edited midway",
            "MASC and VeLPIC, fitted with the noisy labels, on every layer of the network after VeLPIC’s "
            "vectors were written into its readout and training resumed (solid; black: the network itself), "
            "and of the control, which resumes without the edit (dashed, same colours). Where the solid and "
            "dashed lines of a layer diverge, the edit changed what that layer learns.",
            lacks=_needs(
                lambda study: "edit" in study.interventions and {"MASC", "VeLPIC"} & study.every,
                "an intervention that edits the readout, at epoch 1 or later, and MASC or VeLPIC at every "
                "checkpoint",
            ),
            interventions=frozenset({"edit"}),
        ),
        _kind(
            "initialization",
            "Training that starts with VeLPIC’s vectors",
            "Before training, the readout’s rows were replaced by VeLPIC’s vectors of the untrained "
            "network’s last layer, fitted with the noisy labels; then the network is trained as usual. The "
            "control is random rows, also of norm 1: the difference from it (bottom left, paired by seed) is "
            "the effect of the vectors’ directions. The best layers of MASC and VeLPIC are selected on the "
            "same test images, as in the papers, so slightly optimistic. Bottom right: whether it matters "
            "which examples and labels the vectors are fitted with.",
            lacks=_needs(
                lambda study: "initialization" in study.interventions,
                "an intervention that edits the readout at epoch 0",
            ),
            shows_probes=False,
            interventions=frozenset({"initialization"}),
        ),
        _kind(
            "relabel",
            "Networks retrained on MASC’s labels",
            "All accuracies are on the test examples that were not used for early stopping. “Stopped early”: "
            "trained from scratch. “From memorized”: trained further from the network that has "
            "memorized the corrupted labels, as in the papers; points above the black line are then the gain "
            "of the new labels. Oracle: MASC’s subspaces are fitted with true labels. Middle: the gain over "
            "corrupted labels with early stopping. Right: the gain over memorization; the grey control shows "
            "the effect of early stopping alone.",
            lacks=_needs(
                lambda study: {"relabel", "early_stop"} <= study.interventions,
                "the interventions relabel and early_stop",
            ),
            shows_probes=False,
            interventions=frozenset({"relabel", "early_stop"}),
        ),
        _kind(
            "label_quality",
            "Quality of MASC’s labels for the training examples",
            "The labels that networks are retrained on, by layer of the memorized network. Left: the "
            "fraction of wrong labels that MASC corrects. Middle: the fraction of correct labels that it "
            "spoils. Right: the fraction of labels that are wrong afterwards, and before (grey). Black: the "
            "layer that was chosen. Oracle: MASC’s subspaces are fitted with true labels.",
            lacks=_needs(
                lambda study: "relabel" in study.interventions and study.truth_known,
                "the intervention relabel, and true training labels",
            ),
            shows_probes=False,
            interventions=frozenset({"relabel"}),
            needs_truth=True,
            further_table=TABLE_OF_LABEL_QUALITY,
        ),
        _kind(
            "subspaces",
            "Noisy or clean network, noisy or true labels",
            "Which costs accuracy: the noise that the network was trained on, or the noise in the labels "
            "that the subspaces are fitted with? Each column has another combination of network and labels.",
            lacks=_needs(
                lambda study: {"MASC", "VeLPIC"} & study.shown and {"true", "every_p"} & study.fit_labels,
                f"MASC or VeLPIC {_FITTED}, and with true ones or every_p",
            ),
        ),
        _kind(
            "geometry",
            "Directions of VeLPIC’s vectors during memorization",
            "Top: the angle between the vector of each class, fitted with the noisy labels on the last "
            "layer, and the readout’s row of that class; at 90° (dotted) they are unrelated. It falls while "
            "the network learns what the examples of a class have in common. If it rises again, as in the "
            "papers’ networks while they memorize, the readout turns away from that common direction, and "
            "VeLPIC does not. Below it, the angle between the vectors from noisy and from true labels, by "
            "layer: how far the noise turns them. Signed angles in degrees, mean over classes. Bottom: the "
            "fraction of a class’s energy (the sum of squared norms) that lies along its vector, of training "
            "examples (classes by noisy label) and of test examples (by true label). Activations are not "
            "centred: if all share one direction, the fraction is large whatever the classes.",
            lacks=_needs(
                lambda study: "VeLPIC" in study.every and (study.transfers or "true" in study.fit_labels),
                f"VeLPIC at every checkpoint, {_FITTED}, and transfer or true labels",
            ),
            shows_probes=False,
            needs_readout=True,
            further_table=TABLE_OF_ANGLES,
        ),
        _kind(
            "rewind",
            "The final network with its last layers from an earlier epoch",
            "Nothing is trained: the readout of the final network, or all layers from the named one on, are "
            "replaced by those of an earlier checkpoint. If memorization were confined to these layers, the "
            "coloured lines would reach the black line’s peak. At the right end nothing is changed. Dashed: "
            "the network of each epoch with VeLPIC’s vectors, which needs no earlier checkpoint.",
            lacks=_needs(lambda study: "rewind" in study.interventions, "the intervention rewind"),
            shows_probes=False,
            interventions=frozenset({"rewind"}),
        ),
        _kind(
            "audit",
            "Wrong labels detected with the trained network",
            "Left: how well labels are ranked, wrong ones first (100 %: all wrong labels before all correct "
            "ones; at random: the fraction of wrong labels). Raw input is the best probe on the pixels "
            "alone. Right: the fraction of wrong labels as estimated from held-out noisy labels; above the "
            "line the estimate is too high.",
            module="audits",
            lacks=_both(
                _needs(lambda study: study.audits, "audit: true"),
                _needs(
                    lambda study: study.truth_known,
                    "true training labels, to know which labels are wrong",
                ),
            ),
            shows_probes=False,
            needs_truth=True,
            further_table="audit.csv",
        ),
        _kind(
            "repair",
            "Networks repaired without retraining",
            "Accuracy against true test labels. The repair is chosen by held-out noisy labels if the data "
            "set has them, and never by test labels. Raw input, the control, is a linear head on the pixels, "
            "fitted with the same noisy labels.",
            module="audits",
            lacks=_needs(lambda study: study.repairs, "repair: true"),
            shows_probes=False,
            further_table="repair.csv",
        ),
    )
}
"""All built-in figures by name; to add one, add a module in `latentgen.figures` and an entry here."""
