# What the jobs that are to run will cost: shown at the end of a dry run, checked before a start.
from latentgen.jobs.estimate import check_disk, cost_in_words, free_bytes, planned_cost
from latentgen.jobs.provenance import step_costs
from latentgen.jobs.steps import STEPS


def cost_of_plan():
    """Cost of the jobs that Snakemake has found to be needed, the number of cores, and the free disk space."""
    jobs = [
        (job.rule.name, RUNS.get(dict(job.wildcards.items()).get("run")))
        for job in workflow.dag.needrun_jobs(exclude_finished=False)
        if not job.is_norun
    ]
    measured = {step: cost["seconds"] / cost["jobs"] for step, cost in step_costs(LOGS, STEPS).items()}
    # On a cluster Snakemake counts jobs at a time, not cores.
    cores = workflow.resource_settings.cores or workflow.resource_settings.nodes or 1
    return planned_cost(jobs, cores, measured), cores, free_bytes(LAYOUT.results)


def say_cost_of_dry_run():
    if workflow.dryrun and workflow.dag and any(workflow.dag.needrun_jobs(exclude_finished=False)):
        say(cost_in_words(*cost_of_plan()))


if workflow.is_main_process:
    atexit.register(say_cost_of_dry_run)


def refuse_what_does_not_fit():
    """A study that may need more disk than there is does not start."""
    cost, _, free = cost_of_plan()
    with readable_errors():
        check_disk(cost, free)
