"""The JSON schema of study files, which editors use to complete and explain keys."""

import json

from latentgen.study.config import Study


def study_schema() -> str:
    """Return the schema; ``config/study.schema.json`` is ``latentgen schema > config/study.schema.json``."""
    return json.dumps(Study.model_json_schema(), indent=2, ensure_ascii=False)
