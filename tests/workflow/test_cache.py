"""Snakemake's between-workflow cache: what differs never shares an entry, and what is equal does."""

import copy
import re

from studies import TINY_STUDY

STUDY = copy.deepcopy(TINY_STUDY)
STUDY.update(seeds=[1, 2], noise=[{"kind": "symmetric", "p": [0.4]}], pairs=STUDY["pairs"][:1])
STUDY["pairs"][0]["dataset"] = {"name": "digits", "train_items": 50, "test_items": 20}
STUDY["pairs"][0]["training"].update(max_epochs=1, checkpoints=[0])


def trained(workflow, study, cache):
    """Train what the cache does not have; return the contents of its entries by name."""
    workflow.write_study(study)
    cached = ("--cache", "prepare_dataset", "corrupt_labels", "train")
    workflow.run("--until", "train", *cached, SNAKEMAKE_OUTPUT_CACHE=str(cache))
    entries = {}
    for path in cache.glob("*_training.json"):
        key = path.name.removesuffix("_training.json")
        weights = (cache / f"{key}_checkpoints").glob("*.safetensors")
        entries[key] = {file.name: file.read_bytes() for file in weights}
    return entries


def test_seeds_settings_and_code_never_share_an_entry_and_studies_do(empty_copy, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    seeds = trained(empty_copy, STUDY, cache)
    assert len(seeds) == 2, "one for each seed"
    first, second = seeds.values()
    assert first != second

    other = copy.deepcopy(STUDY)
    other["study"] = "other"
    assert trained(empty_copy, other, cache).keys() == seeds.keys()
    links = list((empty_copy.folder / "results/other/runs").glob("*/history.csv"))
    assert len(links) == 2
    assert all(link.is_symlink() for link in links), "nothing was trained"

    other["seeds"] = [1]
    other["pairs"][0]["training"]["optimizer"]["learning_rate"] = 0.01
    rates = trained(empty_copy, other, cache)
    assert len(rates) == 3

    training = empty_copy.folder / "workflow/scripts/latentgen/training/optimizers.py"
    text, edits = re.subn(
        "self.momenta: list", "self.more = 1\n        self.momenta: list", training.read_text()
    )
    assert edits == 1
    training.write_text(text)
    assert len(trained(empty_copy, other, cache)) == 4
