"""``make mutants``: what its list of equivalent mutants says is still so."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_each_equivalent_mutant_names_a_line_that_is_there_and_a_reason():
    listed = tomllib.loads((ROOT / "benchmarks" / "mutants.toml").read_text(encoding="utf-8"))

    for mutant in listed.get("equivalent", []):
        module = (ROOT / mutant["module"]).read_text(encoding="utf-8")
        lines = " ".join(line.strip() for line in module.splitlines())

        assert mutant["before"] in lines, mutant
        assert mutant["before"] != mutant["after"]
        assert mutant["reason"], mutant
