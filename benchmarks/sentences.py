"""Sentences about four Python packages: text to classify, from files that are installed anyway."""

import ast
import re
from collections import Counter
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

PACKAGES = ("matplotlib", "pandas", "scipy", "sklearn")
EACH = 3_500
VOCABULARY = 1_000
"""Number of words with a number of their own, with 0 for padding and 1 for all other words."""
LENGTH = 24
"""Largest number of words of a sentence that are read."""


def _of_package(package: str) -> list[str]:
    """Return the sentences of a package's docstrings that do not name it, 5 to 30 words long, each once."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    found = set()
    for file in sorted(Path(spec.origin).parent.rglob("*.py")):
        if "tests" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
                for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                    text = " ".join(paragraph.split())
                    found.update(s for s in re.split(r"(?<=[.!?]) ", text) if _is_sentence(s, package))
    return sorted(found)


def _is_sentence(text: str, package: str) -> bool:
    whole = text[:1].isupper() and text.endswith(".") and 5 <= len(text.split()) <= 30
    return whole and ">>>" not in text and package not in text.lower()


@cache
def token_ids() -> tuple[np.ndarray, np.ndarray]:
    """Return `EACH` sentences of each package as numbers of words, N × `LENGTH`, and their packages."""
    rng = np.random.default_rng(1)
    texts, packages = [], []
    for number, package in enumerate(PACKAGES):
        texts += [str(text) for text in rng.permutation(_of_package(package))[:EACH]]
        packages += [number] * EACH
    words = [re.findall(r"[a-z]+|[^\sa-z]", text.lower())[:LENGTH] for text in texts]
    counts = Counter(word for sentence in words for word in sentence)
    numbers = {word: number for number, (word, _) in enumerate(counts.most_common(VOCABULARY - 2), 2)}
    ids = np.zeros((len(texts), LENGTH), dtype=np.int64)
    for row, sentence in zip(ids, words, strict=True):
        row[: len(sentence)] = [numbers.get(word, 1) for word in sentence]
    return ids, np.array(packages)


def bags(ids: np.ndarray) -> np.ndarray:
    """Return how often each word occurs in each sentence: N × `VOCABULARY`, float32."""
    counted = np.zeros((len(ids), VOCABULARY), dtype=np.float32)
    np.add.at(counted, (np.arange(len(ids))[:, None], ids), 1)
    counted[:, 0] = 0
    return counted
