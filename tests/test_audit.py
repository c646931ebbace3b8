"""``make audit``: what is known of our packages, and what they are."""

import json

import pytest

from deploy.audit import ROOT, SOUND, UNKNOWN, VULNERABLE, verdict, write_bill

CLEAN = {"name": "torch", "version": "2.12.0", "vulns": []}
FLAWED = {
    "name": "pillow",
    "version": "1.0",
    "vulns": [{"id": "CVE-1-1", "fix_versions": ["1.1"]}],
}
SKIPPED = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "status"),
    [
        ([CLEAN], SOUND),
        ([CLEAN, FLAWED], VULNERABLE),
        ([SKIPPED, FLAWED], VULNERABLE),
        ([CLEAN, SKIPPED], UNKNOWN),
        ([], UNKNOWN),
    ],
)
def test_only_packages_that_were_all_looked_up_are_sound(packages, status):
    assert verdict({"dependencies": packages})[0] == status


def test_a_database_that_cannot_be_reached_is_no_clean_bill():
    status, (sentence,) = verdict(None)

    assert status == UNKNOWN
    assert "nothing was audited" in sentence


def test_a_flaw_is_told_with_the_version_that_mends_it():
    _, sentences = verdict({"dependencies": [FLAWED]})

    assert sentences == ["pillow 1.0: CVE-1-1 (fixed in 1.1)"]


def test_the_bill_of_materials_is_valid_and_lists_what_we_stand_on(tmp_path):
    """Of the tested versions here, since looking through the whole environment takes long."""
    pytest.importorskip("cyclonedx_py", reason="the extra audit is not installed")
    path = tmp_path / "sbom.cdx.json"

    assert write_bill(path, ("requirements", str(ROOT / "constraints.txt")))

    bill = json.loads(path.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert {"torch", "discord.py", "diffusers"} <= {each["name"] for each in bill["components"]}
    assert "serialNumber" not in bill
    assert "timestamp" not in bill["metadata"]
