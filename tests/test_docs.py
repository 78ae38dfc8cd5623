"""What the documents say of settings, commands and files is true."""

import re
import subprocess
from pathlib import Path

import pytest

from stock_assets.layout import Table
from stock_assets.monitoring import VOLUME_MODEL
from stock_assets.quality_checks import CHECKS
from stock_assets.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FIELDS = {PREFIX + name.upper(): field for name, field in Settings.model_fields.items()}


def test_the_settings_table_is_complete_and_true() -> None:
    rows = re.findall(rf"^\| `({PREFIX}\w+)` \| (.*?) \| (.*?) \|$", _read("README.md"), re.MULTILINE)

    assert [name for name, _, _ in rows] == list(FIELDS)
    for name, default, description in rows:
        assert description == FIELDS[name].description
        if FIELDS[name].default is not None:
            assert default.strip("`") == str(FIELDS[name].default), name


def test_the_env_example_is_complete_and_true() -> None:
    rows = re.findall(rf"^# (.*)\n(?:# ?)?({PREFIX}\w+)=(.*)$", _read(".env.example"), re.MULTILINE)
    defaults = {name: "" if field.default is None else str(field.default) for name, field in FIELDS.items()}

    assert {name: default for _, name, default in rows} == defaults
    assert {name: description for description, name, _ in rows} == {
        name: field.description for name, field in FIELDS.items()
    }


@pytest.mark.parametrize(
    "target", re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
)
def test_every_make_target_is_documented(target: str) -> None:
    text = _read("README.md") + _read("CONTRIBUTING.md")

    assert re.search(rf"make {target}(?![\w-])", text), f"`make {target}` is in neither README.md nor CONTRIBUTING.md"


@pytest.mark.parametrize("table", CHECKS)
def test_every_check_is_explained_as_it_is(table: Table) -> None:
    text = _read("docs/operations.md")
    for check in CHECKS[table]:
        kind = "stops" if check.blocking else "warns"
        assert f"| `{table}` | `{check.name}` | {kind} | {check.description} |" in text


@pytest.mark.parametrize("name", VOLUME_MODEL)
def test_every_check_of_the_model_is_explained_as_it_is(name: str) -> None:
    row = f"| `volume_model` | `{name}` | warns | {VOLUME_MODEL[name].description} |"

    assert row in _read("docs/operations.md")
    assert f"\n- `{name}`: " in _read("docs/operations.md"), "what to do about it"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text("utf-8"))
    relative = [target for target in targets if not re.match(r"\w+:", target)]

    assert [target for target in relative if not (document.parent / target).exists()] == []


def test_no_file_names_a_place_of_one_machine() -> None:
    pattern = re.compile(r"(?<![\w.:/-])/(?:work|root|home)/")

    assert [name for name in _tracked() if (text := _text(ROOT / name)) and pattern.search(text)] == []


def _tracked() -> list[str]:
    try:
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"git lists no tracked files here: {error}")
    return [name for name in listing.stdout.split("\0") if name]


def _text(path: Path) -> str | None:
    """The text of a file, None for one that is gone or is not text."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")
