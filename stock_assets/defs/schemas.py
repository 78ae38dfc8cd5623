"""What the UI shows of the tables: columns with their meaning, and where the features come from."""

import base64
from typing import Any

import dagster as dg

from stock_assets.contract import COMBINED_COLUMNS, LETTER_COLUMN, Column
from stock_assets.pictures import Picture
from stock_assets.versions import Trained


def table_schema(*columns: Column) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(name, type=kind, description=text) for name, kind, text in columns])


def feature_lineage(upstream: dg.AssetKey) -> dg.TableColumnLineage:
    """Each feature column with the columns of `combined` that it is made of."""
    sources = {name: (name,) for name, _, _ in (*COMBINED_COLUMNS, LETTER_COLUMN)} | {
        "vol_moving_avg": ("Symbol", "Date", "Volume"),
        "adj_close_rolling_med": ("Symbol", "Date", "Adj Close"),
    }
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(asset_key=upstream, column_name=name) for name in names]
            for column, names in sources.items()
        }
    )


def table_value(rows: list[dict[str, Any]]) -> dg.TableMetadataValue:
    """Rows as a table in the UI; what is neither number nor text, such as a date, as text, None as blank."""

    def plain(value: Any) -> int | float | str:
        return value if isinstance(value, int | float | str) else "" if value is None else str(value)

    records = [dg.TableRecord({name: plain(value) for name, value in row.items()}) for row in rows]
    columns = [dg.TableColumn(name) for name in (rows[0] if rows else ())]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def picture_value(picture: Picture) -> dg.MarkdownMetadataValue:
    """A picture with its caption in the UI, which needs no file for it."""
    data = base64.b64encode(picture.png).decode()
    return dg.MetadataValue.md(f"![{picture.title}](data:image/png;base64,{data})\n\n{picture.caption}")


def version_metadata(model: Trained) -> dict[str, dg.MetadataValue | str | float | bool]:
    """What the UI shows of any trained model: the version, what became of it, its test window, card and pictures."""
    test = model.manifest["metrics"]["test"]
    return {
        "version": model.version,
        "trained": model.kept is None,
        "promoted": model.promoted,
        "skill": model.skill,
        "test window": f"{test['from']} to {test['to']}",
        "card": dg.MetadataValue.path(model.folder / "card.html"),
        **{picture.name: picture_value(picture) for picture in model.pictures},
    }
