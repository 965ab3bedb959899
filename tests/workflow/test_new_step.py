"""The step that docs/how-to-extend.md adds, added to a copy of a finished study, runs there."""

import json
import re

from project_copy import PROJECT, Workflow

RUN = "digits_400x120-mlp-symmetric0.40-seed1"
LIBRARY = "workflow/scripts/latentgen"
BLOCKS = dict(
    re.findall(
        r'^```python title="(.*?)"\n(.*?)^```$',
        (PROJECT / "docs/how-to-extend.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)


def insert(workflow: Workflow, name: str, before: str, text: str) -> None:
    path = workflow.folder / name
    old = path.read_text(encoding="utf-8")
    assert old.count(before) == 1
    path.write_text(old.replace(before, text + before), encoding="utf-8")


def test_a_step_is_a_function_a_script_a_rule_and_a_row(tiny_copy):
    for name in (f"{LIBRARY}/networks/norms.py", "workflow/scripts/measure_norms.py", "rules/norms.smk"):
        (tiny_copy.folder / name).write_text(BLOCKS[name], encoding="utf-8")
    layout, steps = f"{LIBRARY}/study/layout.py", f"{LIBRARY}/jobs/steps.py"
    insert(tiny_copy, layout, "    @property\n    def history(", f"{BLOCKS[layout]}\n")
    insert(tiny_copy, steps, '    "collect_tables": Step(', BLOCKS[steps])
    insert(tiny_copy, "Snakefile", '    include: "rules/tables.smk"\n', '    include: "rules/norms.smk"\n')
    norms = f"results/tiny/runs/{RUN}/norms.json"
    assert tiny_copy.planned(norms) == {"measure_norms": 1}
    tiny_copy.run(norms)
    assert json.loads((tiny_copy.folder / norms).read_text())["fc1.0.weight"] > 0
    status = tiny_copy.make("status", "STUDY=study.yaml").stdout
    assert "norms" in next(line for line in status.splitlines() if line.startswith("run "))
    assert "52 done, 3 to do" in status
