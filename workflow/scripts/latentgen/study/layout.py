"""Paths of a study's files. Every path is defined here and nowhere else."""

from dataclasses import dataclass

RESULTS = "results"
DATASET = f"{RESULTS}/datasets/{{dataset}}.h5"
"""A data set; all studies share it."""

MEASURES = f"{RESULTS}/networks/{{digest}}.json"
"""Result of the trial pass of a custom network; all studies share it."""


@dataclass(frozen=True)
class Layout:
    """Paths of a study; names in braces are wildcards."""

    study: str

    @property
    def results(self) -> str:
        """Folder of the study."""
        return f"{RESULTS}/{self.study}"

    @property
    def labels(self) -> str:
        """Labels, for all runs with the same noise and label seed."""
        return f"{self.results}/labels/{{dataset}}/{{noise}}/{{label_seed}}.h5"

    @property
    def run(self) -> str:
        """Folder of a run."""
        return f"{self.results}/runs/{{run}}"

    @property
    def checkpoints(self) -> str:
        """Folder of a run's weights."""
        return f"{self.run}/checkpoints"

    @property
    def relabelled(self) -> str:
        """Labels predicted by a probe, for a run that is trained on them."""
        return f"{self.run}/labels.h5"

    @property
    def label_quality(self) -> str:
        """How good the labels are that a probe predicts on each candidate layer, of such a run."""
        return f"{self.run}/label_quality.csv"

    @property
    def history(self) -> str:
        """Loss and counts of the training at each epoch."""
        return f"{self.run}/history.csv"

    @property
    def training(self) -> str:
        """Why training ended, and its time and memory."""
        return f"{self.run}/training.json"

    @property
    def activations(self) -> str:
        """Activations of a shard."""
        return f"{self.run}/activations/shard-{{shard}}.h5"

    @property
    def activations_range(self) -> str:
        """Activations of a range of the examples, of a shard that is divided."""
        return f"{self.run}/activations/shard-{{shard}}-{{range}}.h5"

    @property
    def classes_range(self) -> str:
        """Decomposed classes of a range, of such a shard."""
        return f"{self.run}/probes/classes-{{shard}}-{{range}}.h5"

    @property
    def scores_range(self) -> str:
        """What probes predict for a range of the examples, of such a shard."""
        return f"{self.run}/probes/scores-{{shard}}-{{range}}.h5"

    @property
    def probe_accuracy(self) -> str:
        """Correct predictions of the probes of a shard."""
        return f"{self.run}/probes/shard-{{shard}}.csv"

    @property
    def probe_cost(self) -> str:
        """Cost of the probes of a shard; it has rows only if the shard has the last checkpoint."""
        return f"{self.run}/probes/cost-{{shard}}.csv"

    @property
    def probe_vectors(self) -> str:
        """VeLPIC's vectors of a shard."""
        return f"{self.run}/probes/shard-{{shard}}.safetensors"

    @property
    def transfer_accuracy(self) -> str:
        """Correct predictions of the edited networks of a shard."""
        return f"{self.run}/transfer/shard-{{shard}}.csv"

    @property
    def transfer_models(self) -> str:
        """Folder of the kept edited networks of a shard."""
        return f"{self.run}/transfer/shard-{{shard}}"

    @property
    def heads_accuracy(self) -> str:
        """Correct predictions of a shard's networks with other heads in the readout."""
        return f"{self.run}/heads/shard-{{shard}}.csv"

    @property
    def heads_calibration(self) -> str:
        """Calibration of a shard's networks, as trained and edited."""
        return f"{self.run}/heads/calibration-{{shard}}.csv"

    @property
    def audit(self) -> str:
        """Folder of the audit of a run's labels."""
        return f"{self.run}/audit"

    @property
    def repair(self) -> str:
        """Folder of a run's repaired network."""
        return f"{self.run}/repair"

    @property
    def tables(self) -> str:
        """Folder of the tables."""
        return f"{self.results}/tables"

    @property
    def figures(self) -> str:
        """Folder of the figures."""
        return f"{self.results}/figures"

    @property
    def logs(self) -> str:
        """Folder of the logs: a folder per rule."""
        return f"{self.results}/logs"

    @property
    def archive(self) -> str:
        """Tables, study and figures in one file."""
        return f"{self.results}/{self.study}.zip"

    @property
    def report(self) -> str:
        """The report."""
        return f"{self.results}/report.html"


TABLES = (
    "accuracy.parquet",
    "history.parquet",
    "summary.csv",
    "comparisons.csv",
    "cost.csv",
    "fidelity.csv",
    "study.json",
    "provenance.json",
)
"""Files in the folder of tables."""

FIGURE_FORMATS = ("pdf", "png", "csv")
"""Files of each figure."""

LATER_TABLES = ("best_layers.csv",)
"""Further files in the folder of tables, which older studies lack."""

TABLE_OF_ANGLES = "geometry.csv"
"""Angles of VeLPIC's vectors, in the folder of tables of a study that draws the figure `geometry`."""

TABLE_OF_CLASSES = "classes.parquet"
"""Counts of every probe by class, in the folder of tables."""

TABLE_OF_LABEL_QUALITY = "label_quality.csv"
"""How good the labels are that probes predict, in the folder of tables of a study that trains on these."""

TABLE_OF_CALIBRATION = "calibration.csv"
"""Calibration of edited networks, in the folder of tables of a study that transfers other heads."""

AUDIT_TABLES, REPAIR_TABLES = ("label_issues.parquet", "audit.csv"), ("repair.csv",)
"""Further tables of studies whose labels are audited, and whose networks are repaired."""

TABLES_BESIDE = "beside.parquet"
"""Accuracies of another study, in the folder of tables of a study that is compared with it."""
