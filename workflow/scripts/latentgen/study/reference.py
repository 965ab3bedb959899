"""The reference of study files, written from their schema: ``latentgen schema --markdown``."""

import json
from typing import Any

from latentgen.study.schema import study_schema

HEAD = """# The study file

Written by `latentgen schema --markdown` from the code that reads study files; do not edit.
Whatever is not named here is refused, with the nearest right name. Editors that know YAML schemas complete
and check study files that begin with `# yaml-language-server: $schema=study.schema.json`, as those in
`config/` do.
"""


def reference() -> str:
    """Return the reference as Markdown: a table of keys for the study and for each block in it."""
    schema = json.loads(study_schema())
    blocks = {"Study": schema, **schema["$defs"]}
    return HEAD + "".join(_block(name, block) for name, block in blocks.items())


def _block(name: str, block: dict[str, Any]) -> str:
    needed = set(block.get("required", ()))
    rows = [
        f"| `{key}` | {_type(field)} | {_default(field, key in needed)} | "
        f"{_words(field.get('description', ''))} |\n"
        for key, field in block["properties"].items()
    ]
    title = "\n## The study\n\n" if name == "Study" else f"\n## {name}\n\n"
    head = "| key | value | default | meaning |\n|---|---|---|---|\n"
    return f"{title}{_words(block.get('description', ''))}\n\n{head}{''.join(rows)}"


def _type(field: dict[str, Any]) -> str:
    """Say what a value may be; a block is a link to its own table."""
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "const" in field or "enum" in field:
        return " or ".join(f"`{_plain(value)}`" for value in field.get("enum", [field.get("const")]))
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in field:
            types = (word for one in field[choice] for word in _type(one).split(" or "))
            return " or ".join(dict.fromkeys(types))
    if field.get("type") == "array":
        parts = field.get("prefixItems")
        return f"[{', '.join(map(_type, parts))}]" if parts else f"list of {_type(field.get('items', {}))}"
    if field.get("type") == "object":
        return "block"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    word = words.get(field.get("type", ""), field.get("type", "any"))
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {field[limit]:g}" for limit, sign in signs.items() if limit in field]
    return f"{word} {', '.join(limits)}".strip()


def _default(field: dict[str, Any], needed: bool) -> str:
    if needed:
        return "required"
    return f"`{_plain(field['default'])}`" if "default" in field and field["default"] is not None else "–"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _words(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
