"""Versions on disk and recorded experiments, as facts and as tables of at most 100 columns."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from stock_assets import registry
from stock_assets.experiments import Recorded
from stock_assets.number_format import plain
from stock_assets.promotion import model_folder, model_folders
from stock_assets.settings import Settings


def versions(settings: Settings, model: str | None) -> dict[str, list[dict[str, Any]]]:
    """The versions of a model, or of each one, newest first. Raises `UserError` for a model that is not there."""
    folders = {model: model_folder(settings, model)} if model else model_folders(settings)
    return {name: _listed(folder) for name, folder in folders.items()}


def _listed(folder: Path) -> list[dict[str, Any]]:
    pointer = registry.readable_pointer(folder)
    served = pointer.version if pointer else None
    return [_facts(folder, version) | {"served": version == served} for version in registry.versions(folder)]


def _facts(folder: Path, version: str) -> dict[str, Any]:
    """What the manifest says of a version; `fault` where it cannot be promoted."""
    facts: dict[str, Any] = {"model": folder.name, "version": version, "fault": None}
    try:
        manifest = registry.sound_manifest(folder, version)
    except registry.RegistryError as error:
        return facts | {"fault": str(error)}
    data, test = manifest.get("data", {}), manifest.get("metrics", {}).get("test", {})
    return facts | {
        "created_at": manifest.get("created_at"),
        "candidate": manifest.get("candidate"),
        "data_version": data.get("fingerprint"),
        "rows": data.get("rows"),
        "mae": test.get("mae"),
        "median_ape": test.get("median_ape"),
        "baseline": manifest.get("baseline"),
        "skill": registry.skill_of(manifest),
    }


def versions_table(model: str, listed: Sequence[dict[str, Any]]) -> Table:
    """A line for each of the `versions` of a model."""
    table = _table(f"{model}: {len(listed)} version{'s' * (len(listed) != 1)}")
    table.add_column("version, created", no_wrap=True)
    table.add_column("candidate", overflow="fold")
    table.add_column("data", overflow="fold")
    for name in ("test\nMAE", "median\nAPE", "skill"):
        table.add_column(name, justify="right")
    table.add_column("")
    for facts in listed:
        if facts["fault"]:
            table.add_row(facts["version"], "", "damaged", "", "", "", _mark(facts))
        else:
            table.add_row(
                f"{facts['version']}\n{_minute(facts['created_at'])}",
                facts["candidate"] or "",
                f"{_number(facts['rows'], ',')} rows\n{(facts['data_version'] or '')[:8]}",
                _mae(facts["mae"]),
                _number(facts["median_ape"], ".1%"),
                _number(facts["skill"], "+.2%"),
                _mark(facts),
            )
    return table


def experiment_facts(experiment: Recorded) -> dict[str, Any]:
    """All columns of the table, for JSON."""
    return asdict(experiment) | {"time": experiment.time.isoformat(timespec="seconds")}


def experiments_table(found: Sequence[Recorded]) -> Table:
    """A line for each experiment."""
    table = _table(f"experiments: {len(found)}")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("model, version, time in UTC", no_wrap=True)
    for name in ("test\nMAE", "median\nAPE"):
        table.add_column(name, justify="right")
    table.add_column("promoted")
    table.add_column("reason", overflow="fold")
    for one in found:
        test = one.metrics.get("test", {})
        table.add_row(
            str(one.id),
            f"{one.model}\n{one.version}\n{one.time:%Y-%m-%d %H:%M}",
            _mae(test.get("mae")),
            _number(test.get("median_ape"), ".1%"),
            "yes" if one.promoted else "no",
            one.reason,
        )
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=None, padding=(0, 1), pad_edge=False)


def _mark(facts: dict[str, Any]) -> str:
    return "served" if facts["served"] else ""


def _minute(created_at: str | None) -> str:
    return created_at[:16].replace("T", " ") if created_at else ""


def _mae(value: float | None) -> str:
    return "" if value is None else plain(value)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
