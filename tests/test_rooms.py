"""Which module may import what, and the plain form of code and SQL."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).parent.parent
PIPELINE = sorted((ROOT / "stock_assets").rglob("*.py"))
SERVING = sorted((ROOT / "serving").rglob("*.py"))
STATEMENTS = sorted((ROOT / "stock_assets" / "sql").rglob("*.sql"))
WITH_DAGSTER = {"stock_assets/definitions.py", "stock_assets/run_report.py", "stock_assets/dev.py"}

IDLE = """
import sys
import stock_assets.definitions
print(*sorted({"PIL", "jinja2", "kaggle", "lightgbm", "matplotlib", "optuna", "pandas", "sklearn"} & set(sys.modules)))
"""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(path: Path) -> set[str]:
    return {module.split(".")[0] for module in imported(path)}


def test_only_the_edge_imports_dagster() -> None:
    found = {name_of(path) for path in PIPELINE if packages(path) & {"dagster", "dagster_duckdb"}}

    assert "stock_assets/definitions.py" in found
    assert {name for name in found if not name.startswith("stock_assets/defs/")} <= WITH_DAGSTER


def test_only_the_edge_and_the_command_line_import_the_edge() -> None:
    edge = ("stock_assets.defs", "stock_assets.definitions")
    found = {name_of(path) for path in PIPELINE if any(module.startswith(edge) for module in imported(path))}

    assert {name for name in found if not name.startswith("stock_assets/defs/")} <= WITH_DAGSTER


@pytest.mark.parametrize("path", SERVING, ids=name_of)
def test_serving_is_light(path: Path) -> None:
    assert packages(path) & {"dagster", "dagster_duckdb", "duckdb", "kaggle", "pandas"} == set()
    assert not [module for module in imported(path) if module.startswith("stock_assets.defs")]


def test_the_pipeline_does_not_import_the_service() -> None:
    assert [name_of(path) for path in PIPELINE if "serving" in packages(path)] == []


def test_loading_the_definitions_is_cheap_and_leaves_no_trace(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", IDLE], cwd=tmp_path, env={"HOME": str(home)}, capture_output=True, check=False, text=True
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
    assert list(tmp_path.rglob("*")) == [home]


@pytest.mark.parametrize("path", STATEMENTS, ids=name_of)
def test_a_sql_file_is_one_statement_under_a_comment(path: Path) -> None:
    text = path.read_text("utf-8")

    assert text.startswith("-- ")
    assert len(duckdb.extract_statements(text)) == 1


@pytest.mark.parametrize("path", [*PIPELINE, *SERVING], ids=name_of)
def test_a_file_is_read_in_one_sitting(path: Path) -> None:
    text = path.read_text("utf-8")

    assert len(text.splitlines()) <= 300
    assert not text or ast.get_docstring(ast.parse(text)), "a module opens with what belongs in it"
