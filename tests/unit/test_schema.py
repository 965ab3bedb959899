"""The JSON schema of study files: as the code has it, complete, and right about the studies there are."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from latentgen.study.schema import study_schema

CONFIG = Path(__file__).parents[2] / "config"
SCHEMA = CONFIG / "study.schema.json"


def test_the_schema_is_that_of_the_code():
    assert SCHEMA.read_text(encoding="utf-8") == study_schema() + "\n", (
        "regenerate it: latentgen schema > config/study.schema.json"
    )


def test_every_key_is_described():
    schema = json.loads(study_schema())
    blocks = {"Study": schema, **schema["$defs"]}
    keys = {
        f"{block}.{key}": settings
        for block, content in blocks.items()
        for key, settings in content["properties"].items()
    }
    assert len(keys) > 35
    assert [name for name, settings in keys.items() if not settings.get("description")] == []
    assert [block for block, content in blocks.items() if content["additionalProperties"]] == []


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_there_are_agree_with_the_schema_and_point_editors_to_it(path):
    text = path.read_text(encoding="utf-8")
    jsonschema.validate(yaml.safe_load(text), json.loads(study_schema()))
    assert text.startswith("# yaml-language-server: $schema=study.schema.json\n")


def test_the_schema_sees_a_mistake():
    study = yaml.safe_load((CONFIG / "digits.yaml").read_text(encoding="utf-8"))
    study["pairs"][0]["training"]["optimizer"]["lerning_rate"] = 0.1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(study, json.loads(study_schema()))
