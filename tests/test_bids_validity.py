"""The official validator on whatever the other tests have made; runs last, see conftest.py."""

import json
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

VALIDATOR = shutil.which("bids-validator-deno", path=Path(sys.executable).parent)


@pytest.mark.skipif(VALIDATOR is None, reason="bids-validator-deno is not installed")
def test_the_official_validator_finds_no_error(outputs):
    found = {}
    for folder in outputs:
        run = subprocess.run(
            [VALIDATOR, "--format", "json", "--ignoreWarnings", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        issues = json.loads(run.stdout)["issues"]["issues"]
        if errors := [issue for issue in issues if issue["severity"] == "error"]:
            found[str(folder)] = errors[:3]
    assert outputs
    assert not found
