"""The benchmark of promotions in small: a real service of two workers under load."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_promotions_a_damaged_version_and_a_killed_worker_cost_no_answer() -> None:
    command = [sys.executable, "-m", "benchmarks.promotions", "--promotions", "3", "--seconds", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "by 4 versions" in done.stdout
