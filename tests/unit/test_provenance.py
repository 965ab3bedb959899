"""Provenance says what runs were trained with, and warns where a study mixes devices or versions."""

import json

import pytest

from latentgen.jobs.provenance import provenance
from latentgen.jobs.steps import BEFORE_TABLES


@pytest.fixture
def described(tmp_path):
    """Return a function that gives the provenance of trainings on some devices."""

    def describe(*trainings):
        paths = [tmp_path / f"{number}.json" for number in range(len(trainings))]
        for path, (device, threads, version) in zip(paths, trainings, strict=True):
            path.write_text(json.dumps({"device": device, "threads": threads, "torch_version": version}))
        return provenance([], paths, tmp_path / "logs", BEFORE_TABLES, {})

    return describe


def test_device_version_and_threads_of_trainings_are_recorded(described, caplog):
    found = described(("cpu", 1, "2.9"), ("cpu", 4, "2.9"))
    assert found["devices"] == ["cpu, torch 2.9"]
    assert found["training_threads"] == [1, 4]
    assert described(("cuda:0", 1, "2.9"), ("cuda:1", 1, "2.9"))["devices"] == ["cuda, torch 2.9"]
    assert not caplog.text, "threads follow from the study, and the GPUs of a machine are alike"


@pytest.mark.parametrize("other", [("cuda:0", 1, "2.9"), ("cpu", 1, "2.8")])
def test_a_study_that_mixes_devices_or_versions_has_a_warning(described, other, caplog):
    assert len(described(("cpu", 1, "2.9"), other)["devices"]) == 2
    assert "trained on different devices or torch versions" in caplog.text
