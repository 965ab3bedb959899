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
        f"| `{key}` | {_type(of)} | {_default(of, key in needed)} | {_words(of.get('description', ''))} |\n"
        for key, of in block["properties"].items()
    ]
    title = "\n## The study\n\n" if name == "Study" else f"\n## {name}\n\n"
    head = "| key | value | if left out | meaning |\n|---|---|---|---|\n"
    return f"{title}{_words(block.get('description', ''))}\n\n{head}{''.join(rows)}"


def _type(of: dict[str, Any]) -> str:
    """Say what a value may be; a block is a link to its own table."""
    if "$ref" in of:
        name = of["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "const" in of or "enum" in of:
        return " or ".join(f"`{_plain(value)}`" for value in of.get("enum", [of.get("const")]))
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in of:
            said = (word for one in of[choice] for word in _type(one).split(" or "))
            return " or ".join(dict.fromkeys(said))
    if of.get("type") == "array":
        parts = of.get("prefixItems")
        return f"[{', '.join(map(_type, parts))}]" if parts else f"list of {_type(of.get('items', {}))}"
    if of.get("type") == "object":
        return "block"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    said = words.get(of.get("type", ""), of.get("type", "any"))
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {of[limit]:g}" for limit, sign in signs.items() if limit in of]
    return f"{said} {', '.join(limits)}".strip()


def _default(of: dict[str, Any], needed: bool) -> str:
    if needed:
        return "must be given"
    return f"`{_plain(of['default'])}`" if "default" in of and of["default"] is not None else "–"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _words(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
