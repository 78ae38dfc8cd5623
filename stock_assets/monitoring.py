"""Whether a promoted model still fits the data that came after it: decisions, each with the figures behind it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from duckdb import DuckDBPyConnection

from stock_assets.learning.drift import SHIFTED, stability
from stock_assets.learning.metrics import score, skill
from stock_assets.learning.volume import BASELINE
from stock_assets.promoted import Promoted
from stock_assets.retraining import MIN_NEW_ROWS
from stock_assets.statements import columns, run
from stock_assets.volume_predictions import predictor

USUAL = 2.0
"""How much further than in the test window, where the skill was measured, an input may drift."""
RECENT = 63
"""Trading days of a quarter: what is looked at where too little is new, and how old a model may become."""


@dataclass(frozen=True)
class Verdict:
    """What a check found: one line for people, figures, and for drift the index of each input."""

    passed: bool
    line: str
    facts: Mapping[str, int | float | str] = field(default_factory=dict)
    indices: Mapping[str, float] = field(default_factory=dict)


class ModelCheck(NamedTuple):
    """A check of a promoted model on the Parquet files of its inputs; `decide` may raise `UserError`."""

    description: str
    decide: Callable[[DuckDBPyConnection, Promoted, Sequence[Path]], Verdict]


class _Window(NamedTuple):
    """The rows of `drift_window.sql`: dates as text, days in trading days."""

    newest: str
    days_behind: int
    rows_behind: int
    before_recent: str


def inputs_stable(connection: DuckDBPyConnection, model: Promoted, files: Sequence[Path]) -> Verdict:
    """Whether the inputs since the model's data are spread as in its training; of the last quarter if few are new.

    Price levels drift for decades, and a skill is measured on a test window that has drifted already: `USUAL` times
    that window's index is allowed, and `SHIFTED` at least.
    """
    until = model.manifest["data"]["until"]
    window = _window(connection, until, files)
    after = until if window.rows_behind >= MIN_NEW_ROWS else window.before_recent
    training, measured = model.manifest["input_bins"], model.manifest.get("metrics", {}).get("drift", {})
    found = stability(connection, training, files, after)
    worst = sorted(found, key=lambda name: -found[name].psi)
    shifted = [name for name in worst if found[name].psi > max(SHIFTED, USUAL * measured.get(name, 0))]
    absent = [name for name in training if name not in found]
    rows = max((drift.rows for drift in found.values()), default=0)
    line = f"{rows:,} rows after {after}: the index is " + _listed(
        [f"{found[name].psi:.3f} of {name} ({measured.get(name, 0):.3f} in the test window)" for name in worst]
    )
    if shifted:
        line += f"; no longer as in training: {_listed(shifted)}"
    if absent:
        line += f"; without values: {_listed(absent)}"
    return Verdict(
        passed=not shifted and not absent,
        line=line,
        facts={"version": model.version, "rows": rows, "after": after, "shifted": len(shifted)},
        indices={name: found[name].psi for name in worst},
    )


def model_is_fresh(connection: DuckDBPyConnection, model: Promoted, files: Sequence[Path]) -> Verdict:
    """Whether at most `RECENT` trading days are newer than the data that the model was made of."""
    until = model.manifest["data"]["until"]
    window = _window(connection, until, files)
    return Verdict(
        passed=window.days_behind <= RECENT,
        line=f"{model.version} is made of data up to {until}; {window.days_behind} trading days and "
        f"{window.rows_behind:,} rows are newer, up to {window.newest} ({RECENT} days are allowed)",
        facts={
            "version": model.version,
            "data until": until,
            "newest": window.newest,
            "trading days behind": window.days_behind,
            "rows behind": window.rows_behind,
        },
    )


def still_beats_baseline(connection: DuckDBPyConnection, model: Promoted, files: Sequence[Path]) -> Verdict:
    """Whether the volume model errs less than its baseline on the rows since its data; too few rows pass."""
    until = model.manifest["data"]["until"]
    table = columns(connection, "models/drift_outcomes", files=[str(path) for path in files], after=until)
    rows = len(table["Volume"])
    facts: dict[str, int | float | str] = {"version": model.version, "after": until, "rows": rows}
    if rows < MIN_NEW_ROWS:
        return Verdict(
            True, f"{rows:,} rows are newer than {until}: fewer than {MIN_NEW_ROWS:,} measure nothing", facts
        )
    volume, inputs = table["Volume"].astype(np.float64), (table["vol_moving_avg"], table["adj_close_rolling_med"])
    ours = score(volume, predictor(model, threads=1)(*inputs))["mae"]
    theirs = score(volume, table[BASELINE])["mae"]
    saved = skill(ours, theirs)
    return Verdict(
        passed=saved > 0,
        line=f"{model.version} saves {saved:+.2%} of the MAE of {BASELINE} on {rows:,} rows after {until}",
        facts=facts | {"mae": ours, f"mae of {BASELINE}": theirs, "skill": saved},
    )


def _window(connection: DuckDBPyConnection, until: str, files: Sequence[Path]) -> _Window:
    (row,) = run(connection, "models/drift_window", files=[str(path) for path in files], until=until, days=RECENT)
    return _Window(*row)


def _listed(texts: Sequence[str], most: int = 3) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


DRIFT = {
    "inputs_stable": ModelCheck(
        "The population stability index of each input, of the rows since the promoted version's data, of the last "
        f"{RECENT} trading days where these are under {MIN_NEW_ROWS:,}, against its training: at most {SHIFTED:g}, or "
        f"{USUAL:g} times that of its test window.",
        inputs_stable,
    ),
    "model_is_fresh": ModelCheck(
        f"A version is promoted, its file is sound, and at most {RECENT} trading days are newer than its data.",
        model_is_fresh,
    ),
}
"""Checks of any model whose inputs are a table by letter."""
VOLUME_MODEL = DRIFT | {
    "still_beats_baseline": ModelCheck(
        f"The promoted version errs less than `{BASELINE}` on the rows since its data, once they are {MIN_NEW_ROWS:,}.",
        still_beats_baseline,
    ),
}
