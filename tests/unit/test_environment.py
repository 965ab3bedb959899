"""The three places that pin versions say the same."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = yaml.safe_load((ROOT / "envs" / "latentgen.yaml").read_text(encoding="utf-8"))["dependencies"]


def pins(requirements):
    found = {}
    for requirement in requirements:
        name, version = requirement.split("==")  # an exact version, or this fails
        name = re.sub("[-_.]+", "-", name).lower()
        assert name not in found
        found[name] = version
    return found


CONSTRAINTS = pins(
    line
    for line in (ROOT / "envs" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)


def test_the_conda_environment_has_what_the_project_needs():
    (from_pip,) = (entry["pip"] for entry in CONDA if isinstance(entry, dict))
    assert from_pip[0] == "--constraint constraints.txt"
    assert pins(from_pip[1:]) == pins(PROJECT["dependencies"])


@pytest.mark.parametrize(
    "requirements", [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()], ids=len
)
def test_every_pin_is_among_the_constraints(requirements):
    wanted = pins(requirements)
    assert wanted == {name: CONSTRAINTS.get(name) for name in wanted}


def test_condas_python_is_one_that_the_project_allows():
    (python,) = (entry for entry in CONDA if isinstance(entry, str) and entry.startswith("python="))
    lowest, end = PROJECT["requires-python"].removeprefix(">=").split(",<")
    assert version(lowest) <= version(python.removeprefix("python=")) < version(end)


def test_each_python_that_the_project_allows_is_tested_by_the_hosted_checks():
    (listed,) = re.findall(
        r"python: \[(.*)\]", (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    )
    tested = [version(one.strip('" ')) for one in listed.split(",")]
    lowest, end = map(version, PROJECT["requires-python"].removeprefix(">=").split(",<"))
    assert tested == [[3, minor] for minor in range(lowest[1], end[1])]


def version(text):
    return [int(part) for part in text.split(".")]


def supported_pythons():
    lowest, end = map(version, PROJECT["requires-python"].removeprefix(">=").split(",<"))
    return [f"3.{minor}" for minor in range(lowest[1], end[1])]


def unmet(python, packages):
    """Return what pip would refuse: packages that are not for this Python, pins that are wrong or absent."""
    found, wanted, seen = [], [(name, "") for name in packages], set()
    while wanted:
        package, extra = wanted.pop()
        if (package, extra) in seen:
            continue
        seen.add((package, extra))
        about = metadata.distribution(package)
        if f"{python}.0" not in SpecifierSet(about.metadata["Requires-Python"] or ""):
            found.append(f"{package} requires Python {about.metadata['Requires-Python']}")
        for text in about.requires or ():
            needed = Requirement(text)
            where = {"python_version": python, "python_full_version": f"{python}.0", "extra": extra}
            if needed.marker and not needed.marker.evaluate(where):
                continue
            name = re.sub("[-_.]+", "-", needed.name).lower()
            if not needed.specifier.contains(CONSTRAINTS.get(name, "0"), prereleases=True):
                found.append(f"{package} requires {needed}; the constraints have {CONSTRAINTS.get(name)}")
            elif name not in CONSTRAINTS:
                found.append(f"{package} requires {needed}, which has no pin")
            else:
                wanted += [(name, part) for part in ("", *needed.extras)]
    return found


@pytest.mark.parametrize("python", supported_pythons())
def test_the_constraints_resolve_for_every_python_that_is_supported(python):
    assert unmet(python, pins(PROJECT["dependencies"])) == []


def test_a_python_outside_has_packages_that_refuse_it():
    """So the range is no wider, and the check finds something."""
    assert any("requires Python >=3.11" in text for text in unmet("3.10", pins(PROJECT["dependencies"])))
