"""The reference of study files is that of the code, and names every key."""

import json
import re
from pathlib import Path

from latentgen.study.reference import reference
from latentgen.study.schema import study_schema

PAGE = Path(__file__).parents[2] / "docs" / "study-file.md"


def test_the_page_is_that_of_the_code():
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "write it again: latentgen schema --markdown > docs/study-file.md"
    )


def test_every_key_and_every_choice_is_on_it():
    text, schema = reference(), json.loads(study_schema())
    for block in [schema, *schema["$defs"].values()]:
        for key, of in block["properties"].items():
            assert f"| `{key}` | " in text
            for value in of.get("enum", []):
                assert f"`{value}`" in text


def test_every_link_leads_to_a_block():
    text = reference()
    links = set(re.findall(r"\]\(#([a-z0-9]+)\)", text))
    blocks = {title.lower() for title in re.findall(r"^## (\w+)$", text, re.MULTILINE)}
    assert links
    assert links <= blocks
