"""Definitions of nouns, classified by topic, as words and as characters. From WordNet 3.0.

wordnet: 29,000 definitions as sequences of words. wordnet_characters: 23,000 sequences of 65 characters, cut
from the definitions of each topic, in random order and one to a line; with `targets: next_token` the class of
each character is the next one. WordNet is by Princeton University, 2006; its license allows any use.

WordNet's lexicographers sorted nouns into 26 files by topic (Fellbaum, 1998; lexnames(5WN)). An example is
the definition of a noun, without its examples of use; its class is the topic. The ten largest topics are
used, with the same number of definitions each; those that occur twice are left out. After rare words are
replaced by the unknown word, 4 % of the test definitions equal a training definition.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from latentgen.data.datasets import Dataset, DatasetInfo, fixed_order
from latentgen.data.formats import read_gz
from latentgen.data.inputs import Tokens
from latentgen.data.sources.files import find_or_download, md5
from latentgen.data.text import PADDING, character_ids, encode, vocabulary_from
from latentgen.errors import LatentgenError

TOPICS = {
    4: "act", 5: "animal", 6: "artifact", 7: "attribute", 10: "communication",
    15: "location", 18: "person", 20: "plant", 26: "state", 27: "substance",
}  # fmt: skip
"""The topics, by the number of their file."""

TRAIN, TEST = 2500, 400
"""Number of definitions of each topic."""
LENGTH, VOCABULARY = 24, 8000
"""Length of a definition in words (95 % of them are not longer), and size of the vocabulary."""

ALPHABET = "\n abcdefghijklmnopqrstuvwxyz0-;,.()'?"
"""Characters by their ids: capitals become small letters, digits 0, and all others ?."""
CHARACTERS = 65
"""Length of a sequence of characters."""
TRAIN_LINES, TEST_LINES = 2000, 300
"""Number of sequences of characters of each topic."""

_FILE = "data.noun"


def _read_file(info: DatasetInfo, folder: Path, fetch: bool) -> tuple[Path, bytes]:
    """Return the path and the content of WordNet's file of nouns, after a check."""

    def find() -> Path | None:
        places = (folder / name / file for name in info.locations for file in (_FILE, f"{_FILE}.gz"))
        return next((place for place in places if place.is_file()), None)

    path = find_or_download(info, folder, fetch, find, f"WordNet's {_FILE}, plain or .gz,")
    content = read_gz(path)
    if md5(content) != info.md5[_FILE]:
        raise LatentgenError(
            f"{path} is not the file of WordNet 3.0 in Debian's package wordnet-base: its checksum differs. "
            "Replace or delete it."
        )
    return path, content


def _read(info: DatasetInfo, folder: Path, fetch: bool) -> Dataset:
    path, content = _read_file(info, folder, fetch)
    texts, topics = _definitions(content.decode("utf-8"))
    numbers = {name: number for number, name in enumerate(info.class_names)}
    labels = np.array([numbers[topic] for topic in topics])
    order = fixed_order(len(labels))
    of_class = [order[labels[order] == number][: TRAIN + TEST] for number in range(info.n_classes)]
    train, test = (
        np.sort(np.concatenate([one[part] for one in of_class]))
        for part in (slice(TRAIN), slice(TRAIN, None))
    )
    vocabulary = vocabulary_from((texts[index] for index in train), VOCABULARY)
    inputs = encode(texts, vocabulary, LENGTH)
    return Dataset(
        info.name, inputs[train], labels[train], inputs[test], labels[test], train, test,
        class_names=info.class_names, max_value=0, source=str(path), checksums={_FILE: md5(content)},
        vocabulary=VOCABULARY, padding=PADDING,
    )  # fmt: skip


def _read_characters(info: DatasetInfo, folder: Path, fetch: bool) -> Dataset:
    path, content = _read_file(info, folder, fetch)
    texts, topics = _definitions(content.decode("utf-8"))
    order = fixed_order(len(texts))
    n_lines = TRAIN_LINES + TEST_LINES
    ids = []
    for topic in info.class_names:
        text = "\n".join(texts[index] for index in order if topics[index] == topic)
        ids.append(character_ids(text[: n_lines * CHARACTERS], ALPHABET).reshape(n_lines, CHARACTERS))
    train = np.concatenate([lines[:TRAIN_LINES] for lines in ids])
    test = np.concatenate([lines[TRAIN_LINES:] for lines in ids])
    topic_numbers = np.arange(info.n_classes)
    return Dataset(
        info.name, train, topic_numbers.repeat(TRAIN_LINES), test, topic_numbers.repeat(TEST_LINES),
        np.arange(len(train)), np.arange(len(test)), class_names=info.class_names, max_value=0,
        source=str(path), checksums={_FILE: md5(content)}, vocabulary=len(ALPHABET),
    )  # fmt: skip


def _definitions(content: str) -> tuple[list[str], list[str]]:
    """Return the definitions of nouns that occur once, for these topics, and their topics."""
    topics: dict[str, list[str]] = {}
    for line in content.splitlines():
        if line.startswith("  "):  # the license, at the beginning
            continue
        data, _, gloss = line.partition(" | ")
        definition = gloss.partition('; "')[0].strip()
        topics.setdefault(definition, []).append(TOPICS.get(int(data.split()[1]), ""))
    once = [(definition, topic) for definition, (topic, *more) in topics.items() if topic and not more]
    return [definition for definition, _ in once], [topic for _, topic in once]


WORDNET = DatasetInfo(
    "wordnet",
    shape=Tokens(LENGTH, VOCABULARY, PADDING),
    n_classes=len(TOPICS),
    n_train=TRAIN * len(TOPICS),
    n_test=TEST * len(TOPICS),
    read=_read,
    md5={_FILE: "5be921c6e8381ec85d52c715f43f1f11"},
    locations=("wordnet", "", "/usr/share/wordnet"),
    how_to_get=(
        "install the Debian package wordnet-base",
        f"put the file {_FILE} of that package into one of these folders",
    ),
    class_names=tuple(TOPICS.values()),
)

WORDNET_CHARACTERS = replace(
    WORDNET,
    name="wordnet_characters",
    shape=Tokens(CHARACTERS, len(ALPHABET)),
    n_train=TRAIN_LINES * len(TOPICS),
    n_test=TEST_LINES * len(TOPICS),
    read=_read_characters,
    token_names=tuple({"\n": "newline", " ": "space"}.get(character, character) for character in ALPHABET),
)
