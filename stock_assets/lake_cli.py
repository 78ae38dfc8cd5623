"""`stock-assets lake`: what is in the lake, for those who read it without this program."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stock_assets.errors import UserError
from stock_assets.settings import load_settings


def lake(
    *,
    files: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE", help="Print the addresses of a table's files, one a line; may be repeated."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Download these files to FOLDER/TABLE, which they replace.")
    ] = None,
) -> None:
    """What is published in the lake of STOCK_ASSETS_LAKE_URL: its version, tables and models."""
    from stock_assets import lake_report  # noqa: PLC0415 - the registry is of no use to `stock-assets doctor`
    from stock_assets.lake import read_manifest, settings_store, table_addresses  # noqa: PLC0415

    if to and not files:
        raise UserError("--to goes with --files: name the table whose files are downloaded")
    store = settings_store(load_settings())
    manifest = read_manifest(store)
    for table in files or ():
        found = lake_report.download(store, manifest, table, to) if to else table_addresses(store, manifest, table)
        print(*found, sep="\n")
    if not files:
        Console().print(*lake_report.told(store, manifest))
