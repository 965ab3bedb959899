# The one definition of the study, of its runs, and of the path of everything a study leaves.
import inspect
import json
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from latentgen.data.registry import data_dir
from latentgen.study.config import read_study
from latentgen.runtime.code_digest import code_digest
from latentgen.errors import LatentgenError
from latentgen.runtime.import_paths import code_identities
from latentgen.study.layout import DATASET, FIGURE_FORMATS, Layout
from latentgen.study.layout import TABLES as TABLE_NAMES
from latentgen.runtime.locks import lock_or_refuse
from latentgen.jobs.resources import job_size
from latentgen.study.batch_check import check_batches
from latentgen.study.custom_code import check_own_code
from latentgen.study.runs import RunSpec
from latentgen.runtime.signals import pass_on_sigterm
from latentgen.tables.named_settings import named_settings

# In the Snakemake that runs a job on a node.
if not workflow.is_main_process and "SLURM_STEP_ID" in os.environ:
    pass_on_sigterm()


def study(run_own_code=False):
    """The study as settings; or all its mistakes."""
    try:
        return read_study(config, run_own_code)
    except LatentgenError as error:
        raise WorkflowError(str(error)) from None


STUDY = study()
LAYOUT = Layout(STUDY.study)
LABELS = LAYOUT.labels
RELABELLED = LAYOUT.relabelled
CHECKPOINTS = LAYOUT.checkpoints
HISTORY = LAYOUT.history
TRAINING = LAYOUT.training
ACTIVATIONS = LAYOUT.activations
PROBE_ACCURACY = LAYOUT.probe_accuracy
PROBE_COST = LAYOUT.probe_cost
PROBE_VECTORS = LAYOUT.probe_vectors
TRANSFER_ACCURACY = LAYOUT.transfer_accuracy
TRANSFER_MODELS = LAYOUT.transfer_models
TABLES = LAYOUT.tables
FIGURES = LAYOUT.figures
LOGS = LAYOUT.logs

BESIDE = f"{TABLES}/beside.parquet"
TABLE_FILES = expand(f"{TABLES}/{{name}}", name=TABLE_NAMES) + ([BESIDE] if STUDY.compare_with else [])
FIGURE_FILES = expand(
    f"{FIGURES}/{{figure}}.{{format}}",
    figure=STUDY.drawings,
    format=FIGURE_FORMATS,
)

# What the tables depend on: figures can be drawn from them as long as this is the same.
TABLES_STUDY = STUDY.model_dump(
    mode="json",
    exclude={"figures": True, "compare_with": True, "pairs": {"__all__": {"model": {"measured"}}}},
)
# With the tables there and no run, figures can be drawn and nothing else needs to be done.
DRAW_FROM_TABLES = (
    all(Path(table).exists() for table in TABLE_FILES) and not Path(f"{LAYOUT.results}/runs").exists()
)
if DRAW_FROM_TABLES and json.loads(Path(f"{TABLES}/study.json").read_text(encoding="utf-8")) != TABLES_STUDY:
    raise WorkflowError(
        f"The tables in {TABLES} were made from other settings than this study file's, and the runs they were "
        f"made from are gone. See {TABLES}/study.json. To compute the study anew, delete {TABLES}."
    )
if not DRAW_FROM_TABLES:
    STUDY = study(run_own_code=True)
    if workflow.is_main_process:
        try:
            check_own_code(STUDY)
            check_batches(STUDY)
        except LatentgenError as error:
            raise WorkflowError(str(error)) from None

RUNS = STUDY.runs
RUN_WITH = {(run.spec.dataset, run.spec.noise_level, str(run.label_seed)): run for run in RUNS.values()}

if STUDY.compare_with and not DRAW_FROM_TABLES and not Path(STUDY.compare_with, "accuracy.parquet").exists():
    raise WorkflowError(
        f"compare_with: {STUDY.compare_with} holds no tables of a study. Compute that study first; its tables "
        "are in results/{study}/tables."
    )


# Names of runs that are edited midway; of all others, the training starts with initial weights.
EDITED_RUN = r"[^/]+-seed\d+-[a-z0-9_]+_at_\d+[^/]*"


wildcard_constraints:
    dataset=r"[a-z0-9_]+",
    noise=r"[a-z_]+[0-9.]+",
    label_seed=r"\d+",
    run=r"[^/]+",
    shard=r"\d+",
    figure=r"[^/.]+",


def run_of(wildcards):
    """The run a job is about; says so if the study has no such run."""
    if wildcards.run in RUNS:
        return RUNS[wildcards.run]
    try:
        RunSpec.parse(wildcards.run)
    except LatentgenError as error:
        raise WorkflowError(str(error)) from None
    raise WorkflowError(
        f"The study {STUDY.study} has no run {wildcards.run}. It has:\n  " + "\n  ".join(RUNS)
    )


def signed(function):
    """Let a function carry its signature. Snakemake asks for it several times a call."""
    function.__signature__ = inspect.signature(function)
    return function


def of_run(answer):
    """What is asked of the run of a job, in the form that Snakemake wants: a function of the wildcards."""
    return signed(lambda wildcards: answer(run_of(wildcards)))


def figure_of(wildcards):
    """The figure a job is to draw; says so if the study has no such figure."""
    if wildcards.figure in STUDY.drawings:
        return STUDY.drawings[wildcards.figure]
    raise WorkflowError(
        f"The study {STUDY.study} has no figure {wildcards.figure}. It has:\n  " + "\n  ".join(STUDY.drawings)
    )


def dataset_of(wildcards):
    """The data set a job is about."""
    return next(pair.dataset for pair in STUDY.pairs if pair.dataset.dataset_id == wildcards.dataset)


def plain(settings):
    """Settings as sorted plain values: Snakemake compares params as text."""
    return {key: values for key, values in sorted(settings.model_dump(mode="json").items())}


def one_of(names):
    """A regular expression that matches these names and no other; if there are none, nothing."""
    return "|".join(map(re.escape, names)) or "(?!)"


def own_code(*parts):
    """What changes when the custom code that settings name changes, or a file that it reads."""
    paths = (path for part in parts if (path := part.import_path))
    try:
        return code_identities(paths, (file for part in parts for file in part.code_files))
    except LatentgenError as error:
        raise WorkflowError(str(error)) from None


@signed
def run_dataset(wildcards):
    return DATASET.format(dataset=run_of(wildcards).spec.dataset)


@signed
def run_labels(wildcards):
    """The labels that a run is trained on."""
    run = run_of(wildcards)
    return RELABELLED.format(run=wildcards.run) if run.relabel else corrupted_labels(wildcards)


@signed
def corrupted_labels(wildcards, spec=None):
    """The labels that the noise of a run leaves, or of another run with the same label seed."""
    run = run_of(wildcards)
    spec = spec or run.spec
    return LABELS.format(dataset=spec.dataset, noise=spec.noise_level, label_seed=run.label_seed)


@signed
def other_labels(wildcards):
    """The labels of other runs that a clean network's probes are fitted with."""
    return [corrupted_labels(wildcards, spec) for spec in run_of(wildcards).other_labels.values()]


def for_each_shard(*templates):
    """Paths of all shards of all runs, template after template; transfer is not done in all runs."""
    return [
        template.format(run=name, shard=shard)
        for template in templates
        for name, run in RUNS.items()
        if run.transfer or template != TRANSFER_ACCURACY
        for shard in range(len(run.shards))
    ]


@signed
def original_checkpoints(wildcards):
    """Checkpoints of the run that an intervention starts from."""
    return CHECKPOINTS.format(run=run_of(wildcards).original.slug)


@signed
def epochs_of(wildcards):
    """First epoch of a shard, and the first one after it."""
    epochs = run_of(wildcards).shards[int(wildcards.shard)]
    return [epochs.start, epochs.stop]


def run_with(wildcards):
    """Any run with the labels a job is about: they share the noise."""
    return RUN_WITH[wildcards.dataset, wildcards.noise, wildcards.label_seed]


def megabytes(step):
    """Memory of a step, from the run's size; more for every further attempt."""
    return signed(lambda wildcards, attempt: attempt * job_size(step, run_of(wildcards)).megabytes)


def disk(step):
    """Disk space that a step's outputs may take, from the run's size."""
    return of_run(lambda run: job_size(step, run).disk_megabytes)


def runtime(step):
    """Time limit of a step, from the run's size; more for every further attempt."""
    return signed(lambda wildcards, attempt: f"{attempt * job_size(step, run_of(wildcards)).minutes}m")


def gpus(step):
    """GPUs of a step. `--resources gpu=0` makes it 0; for jobs of a cluster, which do not hear of that, a profile."""
    return lambda wildcards: job_size(step, run_of(wildcards)).gpus


def threads_of(step):
    """Threads of a step, by the study alone: also a param, as `--cores` cuts what a rule asks for."""
    return of_run(lambda run: job_size(step, run).threads)


def refuse_what_cannot_run():
    """To be called before a start; Snakemake knows one `onstart` only, which is in the Snakefile."""
    refuse_what_does_not_fit()
    refuse_a_missing_gpu()
    refuse_to_be_second()


def refuse_to_be_second():
    """One Snakemake at a time in a folder. Its own locks outlive a kill -9; this one ends with the process."""
    try:
        lock_or_refuse(".snakemake/latentgen.lock", "A study is being computed in this folder")
    except LatentgenError as error:
        raise WorkflowError(str(error)) from None


def refuse_a_missing_gpu():
    """`--resources gpu=1`, or a profile, says that this machine has a GPU. On a cluster its nodes have them."""
    if not workflow.local_exec or "gpu" not in workflow.global_resources:
        return
    gpus = workflow.global_resources["gpu"].value
    if gpus < 1:
        return
    from latentgen.runtime.devices import refuse_without_gpu  # takes seconds: it imports torch

    try:
        refuse_without_gpu(f"resources: gpu={gpus}")
    except LatentgenError as error:
        raise WorkflowError(str(error)) from None


def versions(*packages):
    """Versions of packages on which a result depends: they are part of what a cached result is known by."""
    return {package: version(package) for package in packages}


def say(text):
    print(text, file=sys.stderr)


def say_where_results_are():
    say(f"\nFigures: {FIGURES}/\nSummary: {TABLES}/summary.csv")
