"""Two versions or experiments side by side, and whether they may be compared at all."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from rich.table import Table

from stock_assets import registry
from stock_assets.errors import UserError
from stock_assets.experiments import Experiment, of_manifest, read_experiments
from stock_assets.promotion import model_folders
from stock_assets.settings import Settings

Pairs = dict[str, tuple[Any, Any]]
"""The values of both by name, None where one of them has none."""
WINDOW = ("rows", "from", "to")


class Comparison(NamedTuple):
    """`parameters` has those that differ. `test_rows` says whether both were measured on the same ones."""

    models: tuple[str, str]
    versions: tuple[str, str]
    same_test_rows: bool
    test_rows: str
    metrics: Pairs
    parameters: Pairs


def find(settings: Settings, wanted: str) -> Experiment:
    """A version on disk, or an experiment by its number or version. Raises `UserError` where there is none."""
    for folder in model_folders(settings).values():
        if wanted in registry.versions(folder):
            try:
                return of_manifest(registry.read_manifest(folder, wanted), promoted=False, reason="")
            except registry.RegistryError as error:
                raise UserError(str(error)) from error
    for experiment in read_experiments(settings):
        if wanted in {str(experiment.id), experiment.version}:
            return experiment
    raise UserError(f"{wanted}: no such version or experiment; see stock-assets models list, and models experiments")


def compare(a: Experiment, b: Experiment) -> Comparison:
    """Metrics of both on the test window, skill by baseline, and the parameters that differ."""
    same, told = _test_rows(a, b)
    parameters = _pairs(a.parameters, b.parameters)
    return Comparison(
        models=(a.model, b.model),
        versions=(a.version, b.version),
        same_test_rows=same,
        test_rows=told,
        metrics=_pairs(_figures(a), _figures(b)),
        parameters={name: pair for name, pair in parameters.items() if pair[0] != pair[1]},
    )


def comparison_table(a: str, b: str, comparison: Comparison) -> Table:
    """The comparison under what both were asked for by."""
    table = Table("", a, b, title=f"measured on the same test rows: {comparison.test_rows}", title_justify="left")
    for name in ("models", "versions"):
        table.add_row(name.removesuffix("s"), *getattr(comparison, name))
    for pairs in (comparison.metrics, comparison.parameters):
        table.add_section()
        for name, pair in pairs.items():
            table.add_row(name, *map(_shown, pair))
    return table


def _test_rows(a: Experiment, b: Experiment) -> tuple[bool, str]:
    windows = [{name: one.metrics.get("test", {}).get(name) for name in WINDOW} for one in (a, b)]
    if not all(window["rows"] for window in windows):
        return False, "no, one of them has no test window"
    if windows[0] != windows[1]:
        return False, f"no, {' and '.join('{rows} rows from {from} to {to}'.format(**window) for window in windows)}"
    if a.data_version != b.data_version:
        return False, "no, the same window but of other data"
    return True, "yes"


def _figures(one: Experiment) -> dict[str, Any]:
    test = {name: value for name, value in one.metrics.get("test", {}).items() if name not in WINDOW}
    return test | {f"skill against {name}": value for name, value in one.metrics.get("skill", {}).items()}


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any]) -> Pairs:
    return {name: (a.get(name), b.get(name)) for name in (*a, *(name for name in b if name not in a))}


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
