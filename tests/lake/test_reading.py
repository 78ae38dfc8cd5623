"""Reading the lake: the command, and the examples of the documents as they are printed."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from stock_assets.errors import UserError
from stock_assets.lake import fetch, read_manifest, settings_store, table_addresses
from stock_assets.lake_publishing import publish
from stock_assets.layout import Layout
from stock_assets.settings import Settings
from tests.helpers import digests, stock_assets_here

DOCUMENT = (Path(__file__).parents[2] / "docs" / "lake.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
KEY = ["Symbol", "Date"]


@pytest.fixture
def published(settings: Settings) -> Settings:
    publish(settings, lambda _: None)
    return settings


def command(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    variables = {"STOCK_ASSETS_LAKE_URL": str(settings.lake_url), "STOCK_ASSETS_DATA_DIR": "/nowhere", "COLUMNS": "100"}
    done = stock_assets_here("lake", *arguments, variables=variables)
    return done.returncode, done.stdout, done.stderr


def test_the_command_shows_tables_and_models(published: Settings) -> None:
    code, printed, said = command(published)
    manifest = read_manifest(settings_store(published))

    assert (code, said) == (0, "")
    assert manifest.version in printed
    pointer = manifest.models["volume_model"].pointer
    assert pointer is not None
    assert pointer.version in printed
    (line,) = (line for line in printed.splitlines() if " features " in line)
    files = manifest.tables["features"]
    assert line.replace("│", "").split()[:3] == [
        "features",
        str(len(files)),
        f"{sum(file.rows or 0 for file in files):,}",
    ]


def test_the_command_prints_addresses_and_downloads(published: Settings, tmp_path: Path) -> None:
    code, printed, said = command(published, "--files", "features")
    store = settings_store(published)
    assert (code, said) == (0, "")
    assert printed.split() == table_addresses(store, read_manifest(store), "features")

    code, printed, said = command(published, "--files", "features", "--to", str(tmp_path / "copy"))
    assert (code, said) == (0, "")
    copies = digests(tmp_path / "copy", "features/*/*.parquet")
    assert sorted(printed.split()) == [str(tmp_path / "copy" / name) for name in copies]
    assert list(copies.values()) == list(digests(published.data_dir, "lake/features/*/*.parquet").values())


def test_a_download_replaces_the_one_before_as_a_whole(published: Settings, tmp_path: Path) -> None:
    copy, store = tmp_path / "copy", settings_store(published)
    assert command(published, "--files", "features", "--to", str(copy))[0] == 0
    Layout(published.data_dir).parquet("features", "A").unlink()
    publish(published, lambda _: None)
    last = read_manifest(store).tables["features"][-1]
    content = store.read(last.key) or b""
    store.write(b"x" * last.bytes, last.key)

    before = digests(copy, "**/*.parquet")
    assert command(published, "--files", "features", "--to", str(copy))[0] == 1
    assert digests(copy, "**/*.parquet") == before
    store.write(content, last.key)
    code, printed, _ = command(published, "--files", "features", "--files", "symbols", "--to", str(copy))
    assert (code, len(printed.split())) == (0, len(before))
    assert list(digests(copy, "*/letter=*/*").values()) == list(
        digests(published.data_dir, "lake/features/*/*").values()
    )
    assert digests(copy, "symbols/*").keys() == {"symbols/part-0.parquet"}


def test_what_cannot_be_shown_is_one_line(settings: Settings, tmp_path: Path) -> None:
    nothing = "has no manifest.json: nothing was published there yet (stock-assets run)"
    assert command(settings) == (1, "", f"stock-assets: the lake {settings.lake_url} {nothing}\n")
    publish(settings, lambda _: None)
    code, _, said = command(settings, "--files", "feature")
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith(f"stock-assets: the lake {settings.lake_url} has no table feature; it has combined, ")
    (tmp_path / "file").touch()
    code, _, said = command(settings, "--files", "features", "--to", str(tmp_path / "file"))
    assert (code, said.count("\n")) == (1, 1)
    assert "cannot be written" in said
    assert command(settings, "--to", "x")[2].startswith("stock-assets: --to goes with --files")


def test_without_a_lake_the_command_says_which_setting() -> None:
    done = stock_assets_here("lake", variables={})
    assert (done.returncode, done.stderr) == (
        1,
        "stock-assets: STOCK_ASSETS_LAKE_URL is not set: give it a folder or s3://bucket/prefix\n",
    )


def test_an_object_that_was_changed_is_refused(published: Settings, tmp_path: Path) -> None:
    store = settings_store(published)
    file = read_manifest(store).tables["symbols"][0]
    store.write(b"x" * file.bytes, file.key)

    with pytest.raises(
        UserError, match=r"parquet has not the hash that manifest.json gives: it was changed; remove it there"
    ):
        fetch(store, file, tmp_path / "copy")


@pytest.mark.parametrize("example", EXAMPLES, ids=["pyarrow", "polars", "duckdb"])
def test_the_examples_read_what_was_published(
    published: Settings, tmp_path: Path, example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.environ["STOCK_ASSETS_LAKE_URL"] = str(published.lake_url)  # until the test ends
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    if "copy/" in example:
        (line,) = re.findall(r"```sh\nstock-assets (lake --files .*)\n```", DOCUMENT)
        assert stock_assets_here(*_from(tmp_path, line), variables=dict(_ours())).returncode == 0
    names: dict[str, Any] = {}
    exec(compile(example, "docs/lake.md", "exec"), names)  # noqa: S102 - our own document

    found = names["features"]
    frame = pl.from_pandas(found) if isinstance(found, pd.DataFrame) else found
    local = pl.read_parquet(Layout(published.data_dir).lake / "features/*/*.parquet", hive_partitioning=True)
    frame = frame.select(pl.col(name).cast(local.schema[name]) for name in local.columns)
    assert frame.sort(KEY).equals(local.sort(KEY), null_equal=True)


def _from(folder: Path, line: str) -> list[str]:
    """The arguments of a command of the document; a relative folder is below `folder`."""
    *arguments, last = line.split()
    return [*arguments, str(folder / last)]


def _ours() -> list[tuple[str, str]]:
    return [(name, value) for name, value in os.environ.items() if name.startswith("STOCK_ASSETS_")]
