"""The study file: every key with its type, range, default and meaning, and the runs of the study."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from latentgen.errors import LatentgenError
from latentgen.networks.measured import MeasuredNetwork
from latentgen.networks.resnet18 import ResNet18
from latentgen.probes.settings import DEFAULT_PROBES, Probe, VeLPIC
from latentgen.settings import (
    Distinct,
    NonNegativeInt,
    Settings,
    distinct,
    distinct_by,
)
from latentgen.study.activation_settings import Activations
from latentgen.study.custom_figures import CustomFigure
from latentgen.study.dataset_settings import one_data_set_per_name
from latentgen.study.error_messages import MistakeBelow, mistakes_in_words
from latentgen.study.figure_kinds import FIGURES, FigureKind
from latentgen.study.figure_needs import Contents
from latentgen.study.noise_settings import Noise
from latentgen.study.pairs import Pair, one_layer_per_name
from latentgen.study.plan import Drawing, Run
from latentgen.study.protocols import with_defaults_of_protocol
from latentgen.study.runs import NAME, RunSpec
from latentgen.study.study_file import StudyFile, read_study_file
from latentgen.study.transfer_settings import Transfer
from latentgen.study.trust import is_of_python

FitLabels = Annotated[
    Literal["corrupted", "true", "permuted", "every_p"],
    BeforeValidator(  # YAML's unquoted true
        lambda given: "true" if given is True else given,
        json_schema_input_type=Literal["corrupted", "true", "permuted", "every_p", True],
    ),
]
if TYPE_CHECKING:
    FigureName: TypeAlias = str
else:
    FigureName = Literal[tuple(FIGURES)]

FigureChoice = Annotated[
    Annotated[FigureName, Tag("(name)")] | Annotated[CustomFigure, Tag("own")],
    Discriminator(lambda given: "own" if isinstance(given, Mapping | CustomFigure) else "(name)"),
]


def _figure_kind(figure: str | CustomFigure) -> FigureKind:
    return figure.figure_kind if isinstance(figure, CustomFigure) else FIGURES[figure]


def _each_figure_once(figures: tuple[str | CustomFigure, ...]) -> tuple[str | CustomFigure, ...]:
    distinct(tuple(_figure_kind(figure).name for figure in figures))
    return figures


def _is_package(name: str) -> str:
    if not name.isidentifier():
        raise ValueError("must be the import name of a package")
    if is_of_python(name):
        raise ValueError("is Python's standard library, which a study may not call")
    return name


TrustedPackage = Annotated[str, AfterValidator(_is_package)]


class Study(Settings):
    """A grid of runs, the results computed for each, and the figures over them."""

    study: Annotated[str, Field(pattern=f"^{NAME}$")]
    """Name of the study: its results go to results/{study}."""
    protocol: Literal["sound", "published"] = "sound"
    """Defaults of the study: `sound` ones, or those of the papers' code, for comparison with their tables.
    latentgen/study/protocols.py lists the differences, with reasons."""
    trusted: Annotated[tuple[TrustedPackage, ...], Distinct] = ()
    """Import names of installed packages whose functions this study may call by import path. Code in the
    project's folder, subclasses of torch.nn.Module (for networks) and scikit-learn estimators (for probes)
    need not be listed. List only packages whose code you would run yourself."""
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), Distinct]
    """Seeds, one run each; labels, initial weights and order are drawn from independent streams of a seed."""
    noise: Annotated[tuple[Noise, ...], Field(min_length=1), distinct_by("noise_name")]
    """Kinds and strengths of label noise."""
    pairs: Annotated[
        tuple[Pair, ...],
        Field(min_length=1),
        AfterValidator(one_data_set_per_name),
        AfterValidator(one_layer_per_name),
        distinct_by("name", "; give the model another name"),
    ]
    """Data sets and the networks trained on them."""
    probes: Annotated[tuple[Probe, ...], Field(min_length=1), distinct_by("probe_name")] = DEFAULT_PROBES
    """Classifiers fitted on each layer's activations at each checkpoint."""
    fit_labels: Annotated[tuple[FitLabels, ...], Field(min_length=1), Distinct] = ("corrupted", "true")
    """Training labels that probes are fitted with. `permuted`, the corrupted ones in random order, is a
    negative control: over many orders, no probe is better than chance on average. `every_p`: on networks
    trained at p = 0, at the end of training, also the corrupted labels of every other p (`corrupted0.40` in
    tables, for p = 0.4); MASC and VeLPIC only."""

    @field_validator("fit_labels")
    @classmethod
    def _has_clean_networks(cls, fit_labels: tuple[str, ...], given: ValidationInfo) -> tuple[str, ...]:
        noises = given.data.get("noise", ())
        if "every_p" in fit_labels and noises and not any(0 in noise.p for noise in noises):
            raise ValueError("every_p needs networks trained at p = 0; there is no noise with that p")
        return fit_labels

    activations: Activations = Activations()
    """How each layer's activations are computed and stored."""
    transfer: Transfer | None = Field(default=Transfer(), validate_default=True)
    """VeLPIC's vectors written into the readout; null skips it."""
    audit: Annotated[bool, Field(exclude_if=lambda wanted: not wanted)] = False
    """Find the training labels that are probably wrong, with every trained network (docs/how-to-audit.md);
    best with `held_out` examples."""
    repair: Annotated[bool, Field(exclude_if=lambda wanted: not wanted)] = False
    """Repair every trained network without retraining (docs/how-to-repair.md); likewise."""
    compare_with: str | None = None
    """Folder of another study's tables, such as results/other/tables. Its results for the same pairs, for
    instance under the other protocol, are drawn beside this study's in the figure `protocols`."""
    figures: Annotated[tuple[FigureChoice, ...], AfterValidator(_each_figure_once)] = Field(
        default=None, validate_default=True
    )
    """Figures to draw for every pair: names of built-in ones, and blocks for custom ones. By default all
    built-in ones that the rest of the study allows; `depth`, `heatmap` and `architectures` only if a network
    is not one of the papers' or a layer is pooled."""

    @property
    def velpic_sign(self) -> str:
        """Sign of VeLPIC's vectors in edits of the readout: the rule of the probe, or of the protocol."""
        signs = (probe.sign for probe in self.probes if isinstance(probe, VeLPIC) and probe.name is None)
        return next(signs, "all" if self.protocol == "published" else "own")

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_protocol(cls, given: Any) -> Any:
        return with_defaults_of_protocol(given)

    @model_validator(mode="after")
    def _pairs_fit(self) -> Self:
        for pair in self.pairs:
            self._mode_fits(pair)
            self._noise_fits(pair)
            self._weights_fit(pair)
            if pair.dataset.targets and (self.audit or self.repair):
                raise ValueError(f"{pair.name}: audit and repair are not for next tokens; leave them out")
            if pair.initial_weights == "published" and 0 in self.seeds:
                raise ValueError(
                    "seeds: with published initial weights, seed 0 starts from the same weights as seed 1. "
                    "Begin with 1"
                )
        return self

    # Checks of keys against earlier ones; `given` has those of them that are valid.

    @field_validator("transfer")
    @classmethod
    def _transfer_has_what_it_needs(cls, transfer: Transfer | None, given: ValidationInfo) -> Transfer | None:
        if transfer is None:
            return None
        probes, fit_labels, pairs = (given.data.get(key) for key in ("probes", "fit_labels", "pairs"))
        if probes and "VeLPIC" not in {probe.probe_name for probe in probes if probe.at == "every"}:
            raise ValueError("needs VeLPIC at every checkpoint among the probes; set it to null to skip it")
        if fit_labels and "corrupted" not in fit_labels:
            raise ValueError("needs 'corrupted' among fit_labels; set it to null to skip it")
        for pair in pairs or ():
            if not pair.model.is_known or not pair.model.has_readout:
                continue
            last = list(pair.model.layer_widths(pair.dataset.info.shape))[-1]
            if last not in pair.model.probed_layers(pair.dataset.info.shape):
                raise ValueError(
                    f"needs the readout's input, {last}, among the layers of {pair.name}; "
                    "set it to null to skip it"
                )
        scheduled = {epoch for pair in pairs or () for epoch in pair.scheduled}
        strange = [str(epoch) for epoch in transfer.keep_models_at if pairs and epoch not in scheduled]
        if strange:
            raise MistakeBelow("keep_models_at", f"no checkpoint is scheduled at epoch {', '.join(strange)}")
        return transfer

    @field_validator("figures", mode="before")
    @classmethod
    def _all_if_left_out(cls, figures: Any, given: ValidationInfo) -> Any:
        if figures is not None:
            return figures
        study = Contents.of(given.data)
        return [
            name
            for name, kind in FIGURES.items()
            if not (study and (kind.lacks(study) or not kind.is_usual(study)))
        ]

    @field_validator("figures")
    @classmethod
    def _can_be_drawn(
        cls, figures: tuple[FigureChoice, ...], given: ValidationInfo
    ) -> tuple[FigureChoice, ...]:
        study = Contents.of(given.data)
        kinds = [_figure_kind(figure) for figure in figures]
        wrong = [
            f"'{kind.name}' needs {lacking}" for kind in kinds if study and (lacking := kind.lacks(study))
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
        return figures

    @model_validator(mode="after")
    def _has_labels_to_fit(self) -> Self:
        if set(self.fit_labels) == {"true"} and not all(run.truth_known for run in self.runs.values()):
            raise ValueError("fit_labels: true training labels are not known; add corrupted")
        return self

    @model_validator(mode="after")
    def _moments_suffice(self) -> Self:
        if self.activations.store != "moments":
            return self
        lacking = [probe.probe_name for probe in self.probes if not probe.in_parts]
        lacking += self.transfer.other_heads if self.transfer else ()
        lacking += ["every_p"] if "every_p" in self.fit_labels else []
        if lacking:
            raise ValueError(
                f"activations.store: {', '.join(lacking)} cannot be found from moments; leave these out, or "
                "store examples"
            )
        return self

    def _weights_fit(self, pair: Pair) -> None:
        if pair.weights is None:
            return
        several = {
            "{epoch}": len(pair.weights.epochs),
            "{seed}": len(self.seeds),
            "{p}": len({p for noise in self.noise for p in noise.p}),
        }
        lacking = [part for part, count in several.items() if count > 1 and part not in pair.weights.files]
        if lacking:
            raise ValueError(
                f"{pair.name}: weights.files must contain {' and '.join(lacking)}, since there are several; "
                "otherwise runs would share a file"
            )
        if len(self.noise) > 1:
            raise ValueError(
                f"{pair.name}: trained weights have one kind of noise; make a study for each kind"
            )

    def _noise_fits(self, pair: Pair) -> None:
        for noise in self.noise:
            try:
                noise.check_dataset(pair.dataset.info, pair.dataset.label_kind)
            except ValueError as error:
                raise ValueError(f"noise: {error}") from None

    def _mode_fits(self, pair: Pair) -> None:
        single_images = self.activations.mode == "single_images"
        if single_images and isinstance(pair.model, MeasuredNetwork):
            raise ValueError(
                f"{pair.name}: single_images is for the papers' networks only; set activations.mode to eval"
            )
        if getattr(pair.model, "renorm", False) and not single_images:
            raise ValueError(
                f"{pair.name}: with renorm, activations depend on the other examples in a batch; set "
                "activations.mode to single_images"
            )
        if single_images and isinstance(pair.model, ResNet18) and not pair.model.dropout:
            widths = pair.model.layer_widths(pair.dataset.info.shape)
            if widths["l4"] == widths["bf_last"]:
                raise ValueError(
                    f"{pair.name}: batch normalization cannot normalize single images of this size, which "
                    "have one pixel per channel in l4; set activations.mode to eval"
                )

    @cached_property
    def runs(self) -> dict[str, Run]:
        """Every run by its name, in the order of the study file."""
        runs = [
            Run(
                RunSpec(
                    pair.dataset.dataset_id,
                    pair.model.model_name,
                    noise.noise_name,
                    p,
                    seed,
                    intervention.intervention_name if intervention else "none",
                ),
                pair,
                noise,
                self,
                intervention,
            )
            for pair in self.pairs
            for noise in self.noise
            for p in noise.p
            for intervention in (None, *pair.interventions)
            if intervention is None or intervention.p is None or p in intervention.p
            for seed in self.seeds
        ]
        return {run.spec.slug: run for run in runs}

    def drawn_without_custom_code(self) -> dict[str, Drawing]:
        """Return the figures that are drawn from other people's tables."""
        return {name: drawing for name, drawing in self.drawings.items() if not drawing.custom}

    @cached_property
    def drawings(self) -> dict[str, Drawing]:
        """Every figure to draw by name; the name includes the noise if there are several kinds."""
        drawings = [
            Drawing(kind, pair, noise, figure if isinstance(figure, CustomFigure) else None)
            for figure, kind in zip(self.figures, map(_figure_kind, self.figures), strict=True)
            for pair in (self.pairs[:1] if kind.of_study else self.pairs)
            for noise in self.noise
        ]
        return {
            one.name + (f"-{one.noise.noise_name}" if len(self.noise) > 1 else ""): one
            for one in drawings
            if one.kind.interventions <= one.pair.interventions_at(one.noise.p)
            and (one.pair.dataset.label_kind != "given" or not one.kind.needs_truth)
            and (one.pair.model.has_readout or not one.kind.needs_readout)
        }


def read_study(given: Mapping[str, Any] | StudyFile, run_own_code: bool = False) -> Study:
    """Check the content of a study file and return it as settings, with all defaults filled in.

    Parameters
    ----------
    given : mapping or StudyFile
        Content of a study file; if it has the places of values, errors name them.
    run_own_code : bool
        Whether custom networks, which the file names by import path, may be run to measure their layers and
        sizes. Otherwise no custom code is imported or called.

    Raises
    ------
    LatentgenError
        With all errors at once: the key's path, what is wrong, what is allowed, the nearest valid name.
    """
    file = given if isinstance(given, StudyFile) else StudyFile(dict(given))
    file.check_text()
    listed = file.content.get("trusted")
    trusted = tuple(listed) if isinstance(listed, list | tuple) else ()
    try:
        return Study.model_validate(file.content, context={"run_own_code": run_own_code, "trusted": trusted})
    except ValidationError as error:
        raise LatentgenError(mistakes_in_words(error, Study, file.place_of)) from None


def load_study(path: str | Path) -> Study:
    """Read a study file, in YAML or JSON.

    Raises
    ------
    LatentgenError
        As in `read_study` and `latentgen.study.study_file.read_study_file`.
    """
    return read_study(read_study_file(path))
