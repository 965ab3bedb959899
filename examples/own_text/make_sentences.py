"""Write an example data set of text: data/sentences.jsonl, sentences with the package they are about.

They are first lines of docstrings, read from the files of four installed packages; nothing is imported.
"""

import ast
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np

PACKAGES = ("matplotlib", "pandas", "scipy", "sklearn")
EACH = 500
rng = np.random.default_rng(1)


def first_lines(package: str) -> list[str]:
    """Return the first lines of all docstrings of a package that are 5 to 30 words long, each once."""
    spec = find_spec(package)
    assert spec, f"{package} is not installed"
    assert spec.origin
    found = set()
    for file in sorted(Path(spec.origin).parent.rglob("*.py")):
        if "tests" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                lines = (ast.get_docstring(node) or "").split("\n\n")
                if 5 <= len(lines[0].split()) <= 30 and package not in lines[0].lower():
                    found.add(" ".join(lines[0].split()))
    return sorted(found)


Path("data").mkdir(exist_ok=True)
with Path("data/sentences.jsonl").open("w", encoding="utf-8") as output:
    for name in PACKAGES:
        for text in rng.permutation(first_lines(name))[:EACH]:
            output.write(json.dumps({"text": text, "label": name}) + "\n")
