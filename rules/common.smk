# The one definition of the study, of its runs, and of the path of everything a study leaves.
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

# What Snakemake says of each job is kept in its own log, .snakemake/log.
for handler in logger.handlers:
    if handler.name == "DefaultStreamHandler":
        handler.addFilter(FewLines())

# A plan is a million small objects that stay: looking for garbage among them takes a tenth of the time.
gc.set_threshold(200_000, 20, 100)

# In the Snakemake that runs a job on a node.
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
    """Show an error that a user can fix as its message alone."""
    try:
        yield
    except LatentgenError as error:
        raise WorkflowError(str(error)) from None


def of_project(path):
    """Path of a file of the project, wherever Snakemake was started."""
    return local(os.path.relpath(Path(workflow.basedir, path)))


# `--config from_tables=true` allows drawing and nothing else, whatever a study file says or lacks: no rule before
# the tables exists then, and no custom code is imported. An archive from elsewhere is drawn in this way.
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

# With the tables there and no run, figures are drawn from the tables too.
DRAW_FROM_TABLES = FROM_TABLES or (
    all(Path(table).exists() for table in NEEDED_TABLES) and not Path(f"{LAYOUT.results}/runs").exists()
)
# Tables from elsewhere may lack some that no figure needs.
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
        f"compare_with: {STUDY.compare_with} holds no tables of a study. Compute that study first; its tables "
        "are in results/{study}/tables."
    )


# Names of runs that are edited midway; of all others, the training starts with initial weights. Names of layers
# may look like edits.
EDITED_RUN = r"[^/]+-seed\d+-(?!relabel_|rewind_)[a-z0-9_]+_at_\d+[^/]*"


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
    with readable_errors():
        RunSpec.parse(wildcards.run)
    raise WorkflowError(
        f"The study {STUDY.study} has no run {wildcards.run}. It has:\n  " + "\n  ".join(RUNS)
    )


def signed(function):
    """Let a function carry its signature. Snakemake asks for it several times a call."""
    function.__signature__ = inspect.signature(function)
    return function


def of_run(answer):
    """Something of the run of a job, in the form that Snakemake wants: a function of the wildcards."""
    return signed(lambda wildcards: answer(run_of(wildcards)))


def figure_of(wildcards):
    """The figure a job is to draw; says so if the study has no such figure."""
    if wildcards.figure in DRAWINGS:
        return DRAWINGS[wildcards.figure]
    raise WorkflowError(
        f"The study {STUDY.study} has no figure {wildcards.figure} that is drawn here. It has:\n  "
        + "\n  ".join(DRAWINGS)
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
    """The labels that the noise of a run leaves, or of another run with the same label seed."""
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
    """Paths of all shards of all runs, template after template; transfer is not done in all runs."""
    return [
        template.format(run=name, shard=shard)
        for template in templates
        for name, run in runs.items()
        if run.transfer or template not in OF_TRANSFER
        for shard in range(len(run.shards))
    ]


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


def files_or_refusal(input_files, output):
    """Files that a job is to read; if they are missing, a refusal, unless what was read from them is there.

    Then a path that does not exist is returned: Snakemake keeps an output whose inputs are missing. A dry run
    says what is missing and goes on: what a study costs can be asked before its data is there.
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
    """Files whose change means that a data set is to be read again."""
    info = dataset_of(wildcards).info
    return files_or_refusal(
        lambda: info.input_files(info, data_dir()), DATASET.format(dataset=wildcards.dataset)
    )


def input_files_of_dataset(wildcards):
    """The files of a data set that can be inputs."""
    return [file for file in files_of_dataset(wildcards) if not contains_wildcard(file)]


def other_files_of_dataset(wildcards):
    """Size and time of files that cannot be inputs, since Snakemake takes braces in their names for a wildcard."""
    states = {str(file): file.stat() for file in files_of_dataset(wildcards) if contains_wildcard(file)}
    return {name: [state.st_size, state.st_mtime_ns] for name, state in states.items()}


def files_of_noise(wildcards):
    """Files that a kind of noise is read from, as the human labels of CIFAR-N."""
    run = run_with(wildcards)
    return files_or_refusal(
        lambda: run.noise.input_files(run.pair.dataset.name, data_dir()),
        LAYOUT.labels.format(**dict(wildcards.items())),
    )


def refuse_what_cannot_run():
    """To be called before a start; Snakemake knows one `onstart` only, which is in the Snakefile."""
    refuse_what_does_not_fit()
    refuse_a_missing_gpu()
    refuse_to_be_second()


def refuse_to_be_second():
    """One Snakemake at a time in a folder. Its own locks outlive a kill -9; this one ends with the process."""
    with readable_errors():
        lock_or_refuse(".snakemake/latentgen.lock", "A study is being computed in this folder")


def refuse_a_missing_gpu():
    """`--resources gpu=1`, or a profile, says that this machine has a GPU. On a cluster its nodes have them."""
    if not workflow.local_exec or "gpu" not in workflow.global_resources:
        return
    gpus = workflow.global_resources["gpu"].value
    if gpus < 1:
        return
    from latentgen.runtime.devices import refuse_without_gpu  # takes seconds: it imports torch

    with readable_errors():
        refuse_without_gpu(f"resources: gpu={gpus}")


def versions(*packages):
    """Versions of packages on which a result depends: they are part of what a cached result is known by."""
    return {package: version(package) for package in packages}


def say(text):
    print(text, file=sys.stderr)


def say_where_results_are():
    """The last lines of every call that was more than a dry run: where tables and figures are, and how many."""
    if workflow.dryrun or workflow.dag is None:
        return
    for name, folder, files in (("Tables", TABLES, TABLE_FILES), ("Figures", LAYOUT.figures, FIGURE_FILES)):
        say(f"{name}: {folder}/ ({sum(Path(file).exists() for file in files)} of {len(files)} files)")


if workflow.is_main_process:
    atexit.register(say_where_results_are)
    for pair in () if DRAW_FROM_TABLES else STUDY.pairs:
        for note in pair.model.notes:
            say(f"{pair.name}: {note}")
