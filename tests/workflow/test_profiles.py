"""Each shipped profile plans a study; those of engines whose plugin is not installed here are skipped."""

from importlib.util import find_spec

import pytest
import yaml
from project_copy import PROJECT

from latentgen.jobs.steps import STEPS
from studies import TINY_STUDY

PROFILES = sorted(path.parent.name for path in (PROJECT / "profiles").glob("*/config.yaml"))
OTHERS = [name for name in PROFILES if name not in ("default", "slurm")]


def settings(name):
    return yaml.safe_load((PROJECT / f"profiles/{name}/config.yaml").read_text())


@pytest.mark.parametrize("name", OTHERS)
def test_an_engine_differs_from_slurm_in_what_is_its_own(name):
    slurm, other = settings("slurm"), settings(name)
    common = {"groups", "group-components", "retries", "keep-going", "rerun-incomplete", "nolock", "quiet"}
    common |= {"latency-wait", "rerun-triggers", "resources", "set-resource-scopes", "set-resources"}
    assert {key: other[key] for key in common} == {key: slurm[key] for key in common}


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "default"])
def test_only_steps_of_minutes_and_more_are_submissions_of_their_own(name):
    alone = {"train", "take_weights", "edit_and_train", "relabel", "rewind", "audit_labels", "repair_network"}
    alone |= {"extract_range", "fit_range", "score_range"}  # to be spread over nodes
    assert set(STEPS) - set(settings(name)["groups"]) == alone


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "default"])
def test_a_study_is_planned_with_a_profile(name, empty_copy):
    profile = settings(name)
    plugin = f"snakemake_executor_plugin_{profile['executor'].replace('-', '_')}"
    if not find_spec(plugin):
        pytest.skip(f"{plugin} is not installed here")
    empty_copy.write_study(TINY_STUDY)
    done = empty_copy.snakemake("--dry-run", "--workflow-profile", f"profiles/{name}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Estimate: " in done.stdout + done.stderr
