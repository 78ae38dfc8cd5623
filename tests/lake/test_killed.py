"""A publication that is killed in the middle."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from stock_assets.lake import fetch, read_manifest, settings_store
from stock_assets.lake_publishing import publish
from stock_assets.layout import Layout
from stock_assets.registry import sha256_of
from stock_assets.settings import Settings
from tests.helpers import child_environment

SLOWLY = """
import sys
from stock_assets import lake_publishing
from stock_assets.objects import Bucket, Folder
from stock_assets.settings import load_settings

def slowly(put):
    def told(store, path, key):
        put(store, path, key)
        print(key, flush=True)
        sys.stdin.readline()
    return told

for kind in (Bucket, Folder):
    kind.put = slowly(kind.put)
lake_publishing.THREADS = 1
lake_publishing.publish(load_settings(), lambda _: None)
"""


def test_a_killed_publication_leaves_the_last_version_and_the_next_one_completes(
    settings: Settings, tmp_path: Path
) -> None:
    first = publish(settings, lambda _: None).manifest
    store, layout = settings_store(settings), Layout(settings.data_dir)
    changed = sorted(layout.lake.glob("features/*/*.parquet"))
    for path in changed:
        table = pq.read_table(path)
        pq.write_table(table.slice(0, table.num_rows - 1), path)

    put = _kill_after(5, settings, tmp_path)

    assert read_manifest(store) == first
    for number, file in enumerate(first.files()):
        fetch(store, file, tmp_path / f"file-{number}")  # held against its hash
    published = publish(settings, lambda _: None)
    assert (published.new, published.manifest.previous) == (True, first.version)
    assert published.uploaded == len(changed) - put, "only what was missing"
    assert {file.sha256 for file in published.manifest.tables["features"]} == {sha256_of(path) for path in changed}


def _kill_after(objects: int, settings: Settings, folder: Path) -> int:
    """Publish in a child that is killed once it has put so many objects."""
    variables = {
        "STOCK_ASSETS_DATA_DIR": str(settings.data_dir),
        "STOCK_ASSETS_LAKE_URL": str(settings.lake_url),
    }
    with subprocess.Popen(
        [sys.executable, "-c", SLOWLY],
        env=child_environment(variables),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for number in range(objects):
            assert child.stdout.readline().startswith("objects/features/")
            if number + 1 < objects:
                print(file=child.stdin, flush=True)
        os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    return objects
