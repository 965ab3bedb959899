"""The examples of docs/how-to-audit.md and docs/how-to-repair.md run as they stand there."""

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from examples.audit import noisy_digits

from latentgen import audit, repair
from latentgen.cli import main

PROJECT = Path(__file__).parents[2]
PAGES = {
    name: (PROJECT / "docs" / name).read_text(encoding="utf-8")
    for name in ("how-to-audit.md", "how-to-repair.md")
}


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page], re.DOTALL)


def commands(page):
    """Return the lines that a shell would run, each as a list of words."""
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where both pages were followed, command by command."""
    path = tmp_path_factory.mktemp("project")
    (path / "examples").symlink_to(PROJECT / "examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        for words in [*commands("how-to-audit.md"), *commands("how-to-repair.md")]:
            if words[0] == "xdg-open":
                assert Path(words[1]).exists()
            elif words[1:3] == ["-m", "examples.audit.noisy_digits"]:
                noisy_digits.main(Path(words[3]))
            else:
                assert words[0] == ".venv/bin/latentgen"
                done = CliRunner().invoke(main, words[1:], catch_exceptions=False)
                assert done.exit_code == 0, done.output
        yield path / "results/audit-example"


def test_the_audit_finds_the_wrong_labels(folder):
    table = pd.read_csv(folder / "audit/label_issues.csv")
    names = sorted(noisy_digits.NAMES)
    digits = noisy_digits.load_digits().target
    files = sorted((folder / "images").rglob("*.png"), key=lambda file: (file.parent.name, file.name))
    true = [noisy_digits.NAMES[digits[int(file.stem)]] for file in files]
    wrong = table["given"] != pd.Series(true)
    assert table["given"].tolist() == [file.parent.name for file in files]
    assert set(table["given"]) == set(names)
    assert wrong[table["is_issue"]].mean() > 0.8
    assert table["is_issue"][wrong].mean() > 0.8


def test_the_repaired_network_loads(folder, monkeypatch):
    summary = json.loads((folder / "repaired/repair.json").read_text(encoding="utf-8"))
    assert summary["gain"]["low"] > 0
    monkeypatch.chdir(folder.parents[1])
    (code,) = [block for block in blocks("how-to-repair.md", "python") if "export.load" in block]
    scope = {}
    if "pt2" in summary["load"]:
        exec(code, scope)
        assert scope["network"](torch.rand(3, 1, 8, 8)).shape == (3, 10)


@pytest.mark.parametrize("page", PAGES)
def test_the_python_example_runs(page, folder, tmp_path, monkeypatch):
    from latentgen.repairing.reading import read_examples

    (code, *_) = blocks(page, "python")
    network = noisy_digits.Net()
    network.load_state_dict(torch.load(folder / "epoch60.pt", weights_only=True))
    inputs, labels = read_examples(folder / "images")
    val_inputs, val_labels = read_examples(folder / "val")
    monkeypatch.chdir(tmp_path)
    scope = {"network": network, "inputs": torch.from_numpy(inputs), "labels": labels}
    exec(code, scope | {"val_inputs": val_inputs, "val_labels": val_labels, "audit": audit, "repair": repair})


def test_a_network_of_two_inputs_is_audited_in_a_module_of_one():
    transformers = pytest.importorskip("transformers")
    (code,) = [block for block in blocks("how-to-audit.md", "python") if "attention_mask" in block]
    scope = {"torch": torch}
    exec(code, scope)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 3}
    config = transformers.BertConfig(vocab_size=50, num_labels=4, **sizes)
    network = scope["Masked"](transformers.BertForSequenceClassification(config), padding=0).eval()
    ids = torch.randint(1, 50, (40, 9))
    padded = torch.cat([ids, torch.zeros(40, 3, dtype=ids.dtype)], 1)
    with torch.no_grad():
        torch.testing.assert_close(network(padded).logits, network(ids).logits)
    labels = torch.arange(40) % 4
    found = audit(network, padded, labels, held_out=(padded[:20].flip(1), labels[:20]))
    expected = {f"model.bert.encoder.layer.{block}" for block in range(3)}
    assert expected <= set(found.choice.candidates["layer"])
