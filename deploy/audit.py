"""The packages in this environment: known vulnerabilities, and a bill of materials.

``make audit`` runs it. It writes ``build/sbom.cdx.json`` (CycloneDX), the same bytes for the same
packages, and asks the advisory database of PyPI. Exit status: 0 where every package was
looked up and none is known to be vulnerable, 1 where one is, 3 where packages could not be looked
up, 4 where no bill could be written. ``--offline`` writes the bill alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BILL = ROOT / "build" / "sbom.cdx.json"
SOUND, VULNERABLE, UNKNOWN, NO_BILL = 0, 1, 3, 4
#: Seconds until the advisory database is given up.
PATIENCE = 600


def verdict(report: dict[str, Any] | None) -> tuple[int, list[str]]:
    """Exit status and sentences for pip-audit's *report*; None where it brought none.

    A package that was skipped is one of which nothing is known, so that a database which cannot
    be reached is never taken for a clean bill of health.
    """
    packages = [] if report is None else report.get("dependencies", [])
    if not packages:
        return UNKNOWN, [
            "The advisory database cannot be reached: nothing was audited."
            " Try again with a connection, or write the bill alone: make audit ARGS=--offline"
        ]
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}"
        f" (fixed in {', '.join(flaw['fix_versions']) or 'no version yet'})"
        for package in packages
        for flaw in package.get("vulns", [])
    ]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if skipped:
        found.append(
            f"{len(skipped)} of {len(packages)} packages are not known to the advisory database, or"
            f" it cannot be reached: {', '.join(skipped[:5])}{' …' if skipped[5:] else ''}"
        )
    if len(found) > bool(skipped):
        return VULNERABLE, found
    if skipped:
        return UNKNOWN, found
    return SOUND, [f"{len(packages)} packages: none is known to be vulnerable."]


def write_bill(path: Path, source: Sequence[str]) -> bool:
    """Write the CycloneDX bill of materials at *path*; False where that fails.

    Args:
        source: Arguments of ``cyclonedx-py`` that say what it lists.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "cyclonedx_py", *source),
        *("--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--validate"),
        *("--output-format", "JSON", "--output-file", str(path)),
    ]
    return subprocess.run(command, check=False).returncode == 0


def known_vulnerabilities() -> dict[str, Any] | None:
    """pip-audit's report on this environment; None where it brings none."""
    command = [sys.executable, "-m", "pip_audit", "--local", "--format", "json"]
    command += ["--progress-spinner", "off"]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=PATIENCE
        )
        report = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return report if isinstance(report, dict) else None


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--offline", action="store_true", help="write the bill of materials alone")
    options = parser.parse_args(arguments)
    if not write_bill(BILL, ("environment", sys.executable)):
        print("No bill of materials could be written.")
        return NO_BILL
    print(f"Bill of materials: {BILL.relative_to(ROOT)}")
    if options.offline:
        print("Nothing was audited: --offline.")
        return SOUND
    status, sentences = verdict(known_vulnerabilities())
    print("\n".join(sentences))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
