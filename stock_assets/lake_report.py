"""What `stock-assets lake` shows and downloads."""

from pathlib import Path

from rich.table import Table

from stock_assets.errors import UserError
from stock_assets.lake import LakeManifest, fetch, table_files
from stock_assets.objects import ObjectStore
from stock_assets.publishing import staged_folder


def told(store: ObjectStore, manifest: LakeManifest) -> list[Table | str]:
    """The tables and models of one version of the lake."""
    title = f"{store.url}\nversion {manifest.version}, published {manifest.published_at:%Y-%m-%d %H:%M} UTC"
    tables = Table(title=title, title_justify="left")
    for name in ("table", "files", "rows", "MB"):
        tables.add_column(name, justify="left" if name == "table" else "right")
    for name, files in manifest.tables.items():
        rows, size = sum(file.rows or 0 for file in files), sum(file.bytes for file in files)
        tables.add_row(name, f"{len(files)}", f"{rows:,}", f"{size / 1e6:,.1f}")
    models = Table()
    for column in ("model", "promoted version", "other versions"):
        models.add_column(column, overflow="fold")
    for name, model in manifest.models.items():
        promoted = model.pointer.version if model.pointer else None
        others = [version for version in model.versions if version != promoted]
        models.add_row(name, promoted or "none", ", ".join(others))
    return [tables, models]


def download(store: ObjectStore, manifest: LakeManifest, table: str, folder: Path) -> list[Path]:
    """Have in `folder/<table>` the files of a table and nothing else, named as in a data folder: all or none.

    Raises `UserError` for a table that the lake does not have or a folder that cannot be written.
    """
    files = table_files(store, manifest, table)
    try:
        with staged_folder(folder / table) as temporary:
            for file in files:
                fetch(store, file, temporary / file.name)
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return [folder / table / file.name for file in files]
