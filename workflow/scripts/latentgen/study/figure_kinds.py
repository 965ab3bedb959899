"""The figures that a study can have: what each shows, what it needs of a study, and the code that draws it.

The code is named by import path, so that reading a study file imports neither pandas nor Matplotlib.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from latentgen.runtime.import_paths import load
from latentgen.study.figure_needs import Contents


@dataclass(frozen=True)
class FigureKind:
    """A figure.

    The numbers are computed by `table`; `draw` computes nothing. What is plotted is therefore a table too,
    and is kept beside the figure.
    """

    name: str
    """As a study file names it."""
    title: str
    caption: str
    """What to look at, in the report."""
    table_path: str
    """Import path of a function of the pair's tables (`latentgen.figures.material.Material`) that returns a
    data frame."""
    draw_path: str
    """Import path of a function of that data frame, and of the level of chance (None if it is not known),
    that returns a Matplotlib figure."""
    lacks: Callable[[Contents], str] = lambda study: ""
    """Returns what a study lacks for the figure; an empty text if nothing."""
    shows_probes: bool = True
    """Whether it shows probes, and not models alone."""
    interventions: frozenset[str] = frozenset()
    """A pair has the figure only if it has interventions of these kinds."""

    is_usual: Callable[[Contents], bool] = lambda study: True
    """Whether a study that names no figures has this one."""
    of_study: bool = False
    """Whether there is one for all pairs of the study."""
    needs_readout: bool = False
    """Whether a pair has the figure only if its network has a readout that can be edited."""
    needs_truth: bool = False
    """Whether a pair has the figure only if the true training labels are known."""

    @property
    def table(self) -> Callable[..., Any]:
        """The function that computes what is plotted."""
        function: Callable[..., Any] = load(self.table_path)
        return function

    @property
    def draw(self) -> Callable[..., Any]:
        """The function that draws it."""
        function: Callable[..., Any] = load(self.draw_path)
        return function

    @property
    def code(self) -> dict[str, Any]:
        """What the job that draws it has to know, as plain values."""
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


def _lacks_untrained(study: Contents) -> str:
    if not study.shown:
        return f"a probe with its usual settings, {_FITTED}"
    return "" if study.has_epoch_0 else "a checkpoint at epoch 0"


def _lacks_subspaces(study: Contents) -> str:
    has_probe = {"MASC", "VeLPIC"} & study.shown
    has_labels = {"true", "every_p"} & study.fit_labels
    return "" if has_probe and has_labels else f"MASC or VeLPIC {_FITTED}, and with true ones or every_p"


def _lacks_audit(study: Contents) -> str:
    if not study.audits:
        return "audit: true"
    return "" if study.truth_known else "true training labels, to say which of the labels are wrong"


def _needs(condition: Callable[[Contents], Any], lacking: str) -> Callable[[Contents], str]:
    return lambda study: "" if condition(study) else lacking


def _kind(name: str, title: str, caption: str, module: str = "", **more: Any) -> FigureKind:
    """Return a built-in figure: its module, and the functions in it, are called as it is."""
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
            "with the same noisy labels. Where they stay above the black line, the layers hold what the "
            "output has lost.",
            lacks=_needs(lambda study: study.every, f"a probe at every checkpoint, {_FITTED}"),
        ),
        _kind(
            "difference",
            "Difference between probes",
            "One probe’s test accuracy minus another’s: same layer, same labels, same run. Above zero the "
            "first is better.",
            lacks=_needs(
                lambda study: len(study.every & {"MASC", "VeLPIC", "logistic"}) > 1,
                f"two of MASC, VeLPIC and logistic at every checkpoint, {_FITTED}",
            ),
        ),
        _kind(
            "transfer",
            "The model with VeLPIC’s vectors in its readout",
            "Black: the model as trained. Dashed and dotted: the same model with its readout weights "
            "replaced and no further training. Where they are above the black line, the edit restores test "
            "accuracy. With bias zero the edited model equals the last layer’s VeLPIC probe (broad pale "
            "line). Solid coloured lines: other linear classifiers in the readout, if any, fitted on the "
            "same activations and labels. What these restore too is not due to VeLPIC.",
            lacks=_needs(lambda study: study.transfers, "transfer, which is null"),
            needs_readout=True,
        ),
        _kind(
            "final",
            "Test accuracy at the end of training, by noise",
            "The distance between the black line (the model) and the others is the latent generalization: "
            "what the layers still know of the true labels and the model’s output does not. At p = 1, a "
            "control, the labels carry no information.",
            lacks=_needs(lambda study: study.shown & {"MASC", "VeLPIC"}, f"MASC or VeLPIC {_FITTED}"),
        ),
        _kind(
            "untrained",
            "The untrained network (epoch 0)",
            "Probes on a network that has learned nothing. What they achieve comes from the images and the "
            "random weights, and is what trained layers have to beat.",
            module="bars",
            lacks=_lacks_untrained,
        ),
        _kind(
            "probes",
            "Kinds of probes at the end of training, by layer",
            "Bars: probes on the trained network, fitted with the noisy labels; black line: the model’s own "
            "output. A bar shows something that training left in a layer only where it is above both "
            "controls: the same probe on the untrained network (circles) and fitted with permuted labels "
            "(crosses).",
            module="bars",
            lacks=_needs(
                lambda study: study.shown - {"MASC", "VeLPIC"},
                f"another probe than MASC and VeLPIC, {_FITTED}",
            ),
        ),
        _kind(
            "sensitivity",
            "How much of each class’s variance MASC keeps",
            "A flat line means that the number of directions in a class’s subspace does not matter. With "
            "noisy labels, fewer directions may help or hurt. The papers keep 0.99.",
            lacks=_needs(
                lambda study: study.mascs > 1, f"MASC with several fractions of the variance, {_FITTED}"
            ),
        ),
        _kind(
            "depth",
            "Accuracy by layer",
            "Where in the network the true labels can be read, at the end and at each layer’s best "
            "checkpoint (selected on the same test examples, so slightly optimistic). A layer holds what "
            "training put there only where its line is above both controls: the same layer of the untrained "
            "network (grey) and the raw pixels (green).",
            lacks=_needs(lambda study: study.every, f"a probe at every checkpoint, {_FITTED}"),
            is_usual=lambda study: study.is_deep,
        ),
        _kind(
            "heatmap",
            "Accuracy by layer and epoch",
            "Each row is a layer, from the input upwards; the topmost is the model itself. With noisy labels "
            "the model’s row darkens as the network memorizes. Rows that stay bright keep the true labels.",
            lacks=_needs(lambda study: study.every, f"a probe at every checkpoint, {_FITTED}"),
            is_usual=lambda study: study.is_deep,
        ),
        _kind(
            "architectures",
            "All networks of the study",
            "Where the filled black point is far below the open one, the network has memorized its noisy "
            "labels. A probe above the filled point is latent generalization; its layer was chosen by "
            "training examples, without test labels. Transfer shows what VeLPIC’s vectors in the readout "
            "restore.",
            lacks=_needs(lambda study: study.shown & {"MASC", "VeLPIC"}, f"MASC or VeLPIC {_FITTED}"),
            is_usual=lambda study: study.is_deep and study.n_pairs > 1,
            of_study=True,
        ),
        _kind(
            "cost",
            "What probes cost",
            "Each probe fitted once more by itself at the end of training, for these numbers only: in the "
            "study, all MASC and VeLPIC probes of a layer share one decomposition per class. Seconds were "
            "measured on this machine and vary. Operations and bytes follow from formulas "
            "(latentgen/probes/costs.py): large products and decompositions, and what must be moved at "
            "least once.",
            lacks=_needs(lambda study: not study.only_variants, "a probe with its usual settings"),
        ),
        _kind(
            "protocols",
            "The same networks in two studies",
            "Solid: this study. Dashed: the other. Shown are the model and the probes of its last layer. The "
            "protocols differ in several settings, so no difference can be attributed to a single one. Each "
            "study has its own seeds: intervals are for each study alone, and nothing is paired.",
            lacks=_needs(lambda study: study.compares, "compare_with, the tables of another study"),
        ),
        _kind(
            "edits",
            "Networks edited midway, and trained on",
            "Each coloured line is the same network with its readout changed at the epoch named in the "
            "legend. Black: the unedited network. Grey: the control, which only gets a fresh optimizer. The "
            "effect of an edit is its distance from the grey line. If training had ended before that epoch, "
            "its last weights were edited. Noise is forgotten where redrawn examples turn to their true "
            "label.",
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
            "MASC and VeLPIC, fitted with the noisy labels, on every layer while training resumes after "
            "VeLPIC’s vectors were written into the readout (solid; black: the network itself), and in the "
            "control, the same training without the edit (dashed, same colours). Where solid and dashed "
            "lines of a layer part, the edit changed what that layer learns afterwards.",
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
            "network’s last layer, fitted with the noisy labels; then training is ordinary. The control is "
            "random rows of the same norm 1: what the vectors’ directions bring is the distance from it "
            "(bottom left, paired by seed). The best layers of MASC and VeLPIC are selected on these same "
            "test images, as in the papers, so slightly optimistic. Bottom right: whether it matters which "
            "examples and labels the vectors are from.",
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
            "trained afresh from the initial weights. “Resumed from memorized”: trained on from the network "
            "that has memorized the corrupted labels, as the papers do; what is above the black line is then "
            "gained by the new labels. Oracle: MASC’s subspaces are fitted with true labels. Middle: the "
            "gain over corrupted labels with early stopping. Right: the gain over memorization; the grey "
            "control shows the effect of early stopping alone.",
            lacks=_needs(
                lambda study: {"relabel", "early_stop"} <= study.interventions,
                "the interventions relabel and early_stop",
            ),
            shows_probes=False,
            interventions=frozenset({"relabel", "early_stop"}),
        ),
        _kind(
            "label_quality",
            "How good MASC’s labels for the training examples are",
            "The labels that networks are retrained on, by the layer of the memorized network that they are "
            "from. Left: of the labels that the noise made wrong, how many the new ones set right. Middle: "
            "of those that were right, how many the new ones spoil. Right: how many are wrong afterwards, "
            "and were before (grey). Black: the layer that was chosen. A row called oracle, if any, has "
            "subspaces fitted with true labels.",
            lacks=_needs(
                lambda study: "relabel" in study.interventions and study.truth_known,
                "the intervention relabel, and true training labels",
            ),
            shows_probes=False,
            interventions=frozenset({"relabel"}),
            needs_truth=True,
        ),
        _kind(
            "subspaces",
            "Noisy or clean network, noisy or true labels",
            "What costs accuracy: the noise that the network was trained on, or the noise in the labels that "
            "the subspaces are fitted with? Each column names the network and the labels.",
            lacks=_lacks_subspaces,
        ),
        _kind(
            "geometry",
            "Where VeLPIC’s vectors point while the network memorizes",
            "Top: the angle between the vector of each class, fitted with the noisy labels on the last "
            "layer, and the readout’s row of that class; 90° (dotted) is no relation. It falls while the "
            "network learns what the examples of a class share. Where it rises again, as in the papers’ "
            "networks while they memorize, the readout turns away from that common direction, and VeLPIC "
            "does not. Bottom: the angle between the vectors that noisy and true labels give, by layer: how "
            "far the noise turns them. Signed angles in degrees, mean over classes.",
            lacks=_needs(
                lambda study: "VeLPIC" in study.every and (study.transfers or "true" in study.fit_labels),
                f"VeLPIC at every checkpoint, {_FITTED}, and transfer or true labels",
            ),
            shows_probes=False,
            needs_readout=True,
        ),
        _kind(
            "rewind",
            "The final network with its last layers from an earlier epoch",
            "Nothing is trained: the final network gets its readout, or all layers from the named one on, "
            "back from an earlier checkpoint. If memorization sat in these layers alone, the coloured lines "
            "would reach the black line’s peak. At the right end nothing is changed. Dashed: the network of "
            "each epoch with VeLPIC’s vectors, which needs no earlier checkpoint.",
            lacks=_needs(lambda study: "rewind" in study.interventions, "the intervention rewind"),
            shows_probes=False,
            interventions=frozenset({"rewind"}),
        ),
        _kind(
            "audit",
            "Wrong labels found with the trained network",
            "Left: how well labels are ranked, wrong ones first (100 %: all wrong labels before all right "
            "ones; at random: the fraction of wrong labels). Raw input is the best probe on the pixels "
            "alone. Right: what held-out noisy labels say about how many labels are wrong; points above the "
            "line are too high.",
            module="audits",
            lacks=_lacks_audit,
            shows_probes=False,
            needs_truth=True,
        ),
        _kind(
            "repair",
            "Networks repaired with nothing retrained",
            "Accuracy against true test labels. The repair is chosen by held-out noisy labels where the data "
            "set has them, and never by test labels. Raw input is a linear head on the pixels, fitted on the "
            "same noisy labels: what a network has to surpass.",
            module="audits",
            lacks=_needs(lambda study: study.repairs, "repair: true"),
            shows_probes=False,
        ),
    )
}
"""All built-in figures by name; a new one is a module in `latentgen.figures` and an entry here."""
