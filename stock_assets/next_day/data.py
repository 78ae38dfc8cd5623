"""Which next-day features a model is made of, and by what method."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stock_assets.found_parameters import found_parameters
from stock_assets.ingest.snapshot import read_manifest
from stock_assets.layout import Layout
from stock_assets.next_day.rows import Source
from stock_assets.registry import sha256_of
from stock_assets.retraining import fingerprint
from stock_assets.settings import Settings
from stock_assets.statements import FOLDER, recipe

LIBRARIES = ("lightgbm", "holidays", "scipy", "numpy", "duckdb")
PACKAGE = Path(__file__).parent


def describe_data(source: Source, layout: Layout) -> dict[str, Any]:
    """What a model is trained on: a fingerprint of the features, their letters, rows and last day, the snapshot."""
    market = source.market
    return {
        "fingerprint": fingerprint(source.connection, source.files),
        "letters": list(source.files),
        "rows": int(market.rows.sum()),
        "until": str(market.days[-1]),
        "raw_version": read_manifest(layout).version,
    }


def method(settings: Settings) -> str:
    """A hash of all that makes the model besides its data; raises `UserError` as `found_parameters` does."""
    parts = [code_version(settings), found_parameters(Layout(settings.data_dir), "next_day_model")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def code_version(settings: Settings) -> str:
    """A hash of what makes the model besides data and found parameters: code, statements, split, libraries."""
    sources = (
        *sorted(PACKAGE.glob("*.py")),
        *sorted((PACKAGE.parent / "learning").glob("*.py")),
        *sorted((FOLDER / "models").glob("next_day_*")),
    )
    code = [sha256_of(path) for path in sources]
    libraries = [version(name) for name in LIBRARIES]
    parts = [code, recipe("next_day"), libraries, settings.train_share, settings.validation_share]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
