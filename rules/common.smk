# The study, its runs, and the paths of all its files, for all rules.
import atexit
import gc
import inspect
import os
import re
import sys
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import contains_wildcard
from snakemake.logging import logger

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from latentgen.data.custom_sources.decoding import MOST_THREADS
from latentgen.data.registry import data_dir
from latentgen.errors import LatentgenError
from latentgen.jobs.resources import job_size
from latentgen.jobs.steps import BEFORE_TABLES
from latentgen.runtime.code_digest import code_digest
from latentgen.runtime.import_paths import code_identities
from latentgen.runtime.locks import lock_or_refuse
from latentgen.runtime.logs import FewLines
from latentgen.runtime.signals import pass_on_sigterm
from latentgen.study.training_check import check_trainings
from latentgen.study.config import read_study
from latentgen.study.custom_code import check_custom_code, check_custom_figures
from latentgen.study.layout import (
    DATASET,
    FIGURE_FORMATS,
    TABLE_OF_CALIBRATION,
    TABLE_OF_CLASSES,
    TABLE_OF_LABEL_QUALITY,
    Layout,
)
from latentgen.study.runs import RunSpec
from latentgen.study.study_file import merged, read_study_file
from latentgen.study.tables_study import check_tables_study, later_table_names, table_names, tables_study
from latentgen.tables.named_settings import named_settings

# Snakemake's messages about each job are in its own log, .snakemake/log.
for handler in logger.handlers:
    if handler.name == "DefaultStreamHandler":
        handler.addFilter(FewLines())

# A plan consists of a million small objects: garbage collection among them takes a tenth of the time.
gc.set_threshold(200_000, 20, 100)

# Only in the Snakemake that runs a job on a node.
if not workflow.is_main_process and "SLURM_STEP_ID" in os.environ:
    pass_on_sigterm()


# Snakemake does not quote the path of Python in the commands of jobs.
if re.search(r"[^\w./+@%,:=~-]", sys.executable):
    raise WorkflowError(
        f"Python's path, {sys.executable}, has blanks or other characters that Snakemake cannot pass to its jobs. "
        "Move the project to a folder without them, or use an environment elsewhere."
    )


@contextmanager
def readable_errors():
    """Show only the message of an error that a user can fix."""
    try:
        yield
    except LatentgenError as error:
        raise WorkflowError(str(error)) from None


def of_project(path):
    """Path of a file of the project, from any folder in which Snakemake is started."""
    return local(os.path.relpath(Path(workflow.basedir, path)))


# `--config from_tables=true` only allows drawing, for any study file: rules before the tables do not exist
# then, and no custom code is imported. Archives from other people are drawn in this way.
CHANGES = dict(workflow.config_settings.config)
FROM_TABLES = CHANGES.pop("from_tables", False) is not False

STUDY_FILES = workflow.configfiles or [Path(workflow.basedir, "config/digits.yaml")]
with readable_errors():
    STUDY_FILE = merged([read_study_file(os.path.relpath(path)) for path in STUDY_FILES], CHANGES)
    STUDY = read_study(STUDY_FILE)

LAYOUT = Layout(STUDY.study)
TABLES = LAYOUT.tables
LOGS = LAYOUT.logs
NEEDED_TABLES = expand(f"{TABLES}/{{name}}", name=table_names(STUDY))
DRAWINGS = STUDY.drawn_without_custom_code() if FROM_TABLES else STUDY.drawings
FIGURE_FILES = expand(f"{LAYOUT.figures}/{{figure}}.{{format}}", figure=DRAWINGS, format=FIGURE_FORMATS)

# Figures are also drawn from the tables if these exist and there are no runs.
DRAW_FROM_TABLES = FROM_TABLES or (
    all(Path(table).exists() for table in NEEDED_TABLES) and not Path(f"{LAYOUT.results}/runs").exists()
)
# Tables from an archive may lack some that no figure needs.
LATER_TABLE_FILES = [f"{TABLES}/{name}" for name in later_table_names(STUDY)]
TABLE_FILES = NEEDED_TABLES + [
    table for table in LATER_TABLE_FILES if Path(table).exists() or not DRAW_FROM_TABLES
]
with readable_errors():
    if DRAW_FROM_TABLES:
        check_tables_study(STUDY)
        if not FROM_TABLES and workflow.is_main_process:
            check_custom_figures(STUDY)
    else:
        STUDY = read_study(STUDY_FILE, run_own_code=True)
        if workflow.is_main_process:
            check_custom_code(STUDY)
            check_trainings(STUDY)

RUNS = STUDY.runs
RUN_WITH = {
    (run.spec.dataset, run.spec.noise_level, str(seed)): run
    for run in RUNS.values()
    for seed in run.label_seeds
}

if STUDY.compare_with and not DRAW_FROM_TABLES and not Path(STUDY.compare_with, "accuracy.parquet").exists():
    raise WorkflowError(
        f"compare_with: {STUDY.compare_with} has no tables of a study. Compute that study first; its tables "
        "are in results/{study}/tables."
    )


# Names of runs that are edited midway; all other trainings start with initial weights. Names of layers may
# look like edits.
EDITED_RUN = r"[^/]+-seed\d+-(?!relabel_|rewind_)[a-z0-9_]+_at_\d+[^/]*"


wildcard_constraints:
    dataset=r"[a-z0-9_]+",
    noise=r"[a-z_]+[0-9.]+",
    label_seed=r"\d+",
    run=r"[^/]+",
    shard=r"\d+",
    range=r"\d+",
    figure=r"[^/.]+",


def run_of(wildcards):
    """Return the run of a job; refuse one that is not in the study."""
    if wildcards.run in RUNS:
        return RUNS[wildcards.run]
    with readable_errors():
        RunSpec.parse(wildcards.run)
    raise WorkflowError(
        f"The study {STUDY.study} has no run {wildcards.run}. It has:\n  " + "\n  ".join(RUNS)
    )


def signed(function):
    """Attach a function's signature to it, since Snakemake computes it several times per call."""
    function.__signature__ = inspect.signature(function)
    return function


def of_run(answer):
    """Turn a function of a run into a function of wildcards, as Snakemake needs it."""
    return signed(lambda wildcards: answer(run_of(wildcards)))


def figure_of(wildcards):
    """Return the figure of a job; refuse one that is not in the study."""
    if wildcards.figure in DRAWINGS:
        return DRAWINGS[wildcards.figure]
    raise WorkflowError(
        f"The study {STUDY.study} has no figure {wildcards.figure} that is drawn here. It has:\n  "
        + "\n  ".join(DRAWINGS)
    )


def dataset_of(wildcards):
    """Return the data set of a job."""
    return next(pair.dataset for pair in STUDY.pairs if pair.dataset.dataset_id == wildcards.dataset)


def plain(settings):
    """Settings as sorted plain values: Snakemake compares params as text."""
    return {key: values for key, values in sorted(settings.model_dump(mode="json").items())}


def one_of(names):
    """Return a regular expression that matches exactly these names; without names, nothing."""
    return "|".join(map(re.escape, names)) or "(?!)"


def own_code(*parts):
    """Return texts that identify the custom code that settings name, and the files that it reads."""
    paths = (path for part in parts for path in part.import_paths)
    with readable_errors():
        return code_identities(paths, (file for part in parts for file in part.code_files))


@signed
def run_dataset(wildcards):
    return DATASET.format(dataset=run_of(wildcards).spec.dataset)


@signed
def run_labels(wildcards):
    """The labels that a run is trained on."""
    run = run_of(wildcards)
    return LAYOUT.relabelled.format(run=wildcards.run) if run.relabel else corrupted_labels(wildcards)


@signed
def corrupted_labels(wildcards, spec=None):
    """The labels corrupted by the noise of a run, or of another run with the same label seed."""
    run = run_of(wildcards)
    spec = spec or run.spec
    return LAYOUT.labels.format(dataset=spec.dataset, noise=spec.noise_level, label_seed=run.label_seed)


@signed
def another_draw(wildcards):
    """The labels of another seed that an edit's vectors are fitted with, if they are."""
    spec, (_, *others) = run_of(wildcards).spec, run_of(wildcards).label_seeds
    return [
        LAYOUT.labels.format(dataset=spec.dataset, noise=spec.noise_level, label_seed=seed) for seed in others
    ]


@signed
def other_labels(wildcards):
    """The labels of other runs that a clean network's probes are fitted with."""
    return [corrupted_labels(wildcards, spec) for spec in run_of(wildcards).other_labels.values()]


def labels_of(run):
    """The corrupted labels of a run."""
    spec = run.spec
    return LAYOUT.labels.format(dataset=spec.dataset, noise=spec.noise_level, label_seed=run.label_seed)


OF_TRANSFER = (LAYOUT.transfer_accuracy, LAYOUT.heads_accuracy, LAYOUT.heads_calibration)


def for_each_shard(*templates, runs=RUNS):
    """Paths of all shards of all runs, template by template; not all runs have transfer."""
    return [
        template.format(run=name, shard=shard)
        for template in templates
        for name, run in runs.items()
        if run.transfer or template not in OF_TRANSFER
        for shard in range(len(run.shards))
    ]


def all_ranges(of_range, whole=None):
    """Input function: files of all ranges of a shard, or, if it is not divided, the whole one (if any)."""

    @signed
    def files(wildcards):
        run = run_of(wildcards)
        if run.n_ranges == 1:
            return [whole.format(**dict(wildcards.items()))] if whole else []
        return [
            of_range.format(run=wildcards.run, shard=wildcards.shard, range=index)
            for index in range(run.n_ranges)
        ]

    return files


@signed
def range_of(wildcards):
    """Position of a job's range, and the number of ranges."""
    return [int(wildcards.range), run_of(wildcards).n_ranges]


ACTIVATIONS = all_ranges(LAYOUT.activations_range, whole=LAYOUT.activations)


@signed
def original_checkpoints(wildcards):
    """Checkpoints of the run that an intervention starts from."""
    return LAYOUT.checkpoints.format(run=run_of(wildcards).original.slug)


@signed
def start_weights(wildcards):
    """What a run's training starts from, if not from weights that are drawn: a file, or a folder of checkpoints."""
    run = run_of(wildcards)
    if run.starts_memorized:
        return original_checkpoints(wildcards)
    return run.given_weights.file if run.given_weights else []


@signed
def epochs_of(wildcards):
    """First epoch of a shard, and the first one after it."""
    epochs = run_of(wildcards).shards[int(wildcards.shard)]
    return [epochs.start, epochs.stop]


def run_with(wildcards):
    """Return any run with the labels of a job: all of them have the same noise."""
    return RUN_WITH[wildcards.dataset, wildcards.noise, wildcards.label_seed]


def megabytes(step):
    """Memory of a step, from the run's size; more for each further attempt."""
    return signed(lambda wildcards, attempt: attempt * job_size(step, run_of(wildcards)).megabytes)


def disk(step):
    """Disk space that a step's outputs may take, from the run's size."""
    return of_run(lambda run: job_size(step, run).disk_megabytes)


def runtime(step):
    """Time limit of a step, from the run's size; more for each further attempt."""
    return signed(lambda wildcards, attempt: f"{attempt * job_size(step, run_of(wildcards)).minutes}m")


def gpus(step):
    """GPUs of a step. `--resources gpu=0` sets it to 0; for jobs on a cluster, only a profile does."""
    return lambda wildcards: job_size(step, run_of(wildcards)).gpus


def threads_of(step):
    """Threads of a step, set by the study: also a param, since `--cores` limits the threads of a rule."""
    return of_run(lambda run: job_size(step, run).threads)


def files_or_refusal(input_files, output):
    """Return the files that a job reads; refuse missing ones, unless the output made from them exists.

    In that case a path that does not exist is returned: Snakemake keeps an output whose inputs are missing. A
    dry run only warns of missing files, so that a study's cost can be estimated before its data is there.
    """
    try:
        return input_files()
    except LatentgenError as error:
        if Path(output).exists():
            return [f"{output}.sources-are-missing"]
        if not workflow.dryrun:  # an exception would be shown as one of this function, with a traceback
            sys.exit(f"Error: {error}")
        warn_once(str(error))
        return []


@cache
def warn_once(text):
    say(f"Warning: {text}")


def files_of_dataset(wildcards):
    """Files whose change requires reading a data set again."""
    info = dataset_of(wildcards).info
    return files_or_refusal(
        lambda: info.input_files(info, data_dir()), DATASET.format(dataset=wildcards.dataset)
    )


def input_files_of_dataset(wildcards):
    """Files of a data set that can be inputs of a rule."""
    return [file for file in files_of_dataset(wildcards) if not contains_wildcard(file)]


def other_files_of_dataset(wildcards):
    """Size and time of files that cannot be inputs: Snakemake takes braces in names for wildcards."""
    states = {str(file): file.stat() for file in files_of_dataset(wildcards) if contains_wildcard(file)}
    return {name: [state.st_size, state.st_mtime_ns] for name, state in states.items()}


def files_of_noise(wildcards):
    """Files that a kind of noise is read from, such as the human labels of CIFAR-N."""
    run = run_with(wildcards)
    return files_or_refusal(
        lambda: run.noise.input_files(run.pair.dataset.name, data_dir()),
        LAYOUT.labels.format(**dict(wildcards.items())),
    )


def refuse_what_cannot_run():
    """Checks before a start, for Snakemake's only `onstart`, in the Snakefile."""
    refuse_what_does_not_fit()
    refuse_a_missing_gpu()
    refuse_to_be_second()


def refuse_to_be_second():
    """Allow one Snakemake at a time in a folder. Its own locks survive a kill -9; this one does not."""
    with readable_errors():
        lock_or_refuse(".snakemake/latentgen.lock", "A study is being computed in this folder")


def refuse_a_missing_gpu():
    """Check for a GPU if `--resources gpu=1` or a profile claims one; on a cluster, nodes have them."""
    if not workflow.local_exec or "gpu" not in workflow.global_resources:
        return
    gpus = workflow.global_resources["gpu"].value
    if gpus < 1:
        return
    from latentgen.runtime.devices import refuse_without_gpu  # takes seconds: it imports torch

    with readable_errors():
        refuse_without_gpu(f"resources: gpu={gpus}")


def versions(*packages):
    """Versions of packages on which a result depends, which are part of the key of cached results."""
    return {package: version(package) for package in packages}


def say(text):
    print(text, file=sys.stderr)


def say_where_results_are():
    """Print at the end of every call except dry runs where tables and figures are, and their number."""
    if workflow.dryrun or workflow.dag is None:
        return
    for name, folder, files in (("Tables", TABLES, TABLE_FILES), ("Figures", LAYOUT.figures, FIGURE_FILES)):
        say(f"{name}: {folder}/ ({sum(Path(file).exists() for file in files)} of {len(files)} files)")


if workflow.is_main_process:
    atexit.register(say_where_results_are)
    for pair in () if DRAW_FROM_TABLES else STUDY.pairs:
        for note in pair.model.notes:
            say(f"{pair.name}: {note}")
