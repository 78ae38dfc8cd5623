"""What `benchmarks.scaling` cuts, watches, keeps and makes of its results; the measuring itself is not tested here."""

import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.minute_bars import ROWS, Cluster, Prices, estimate, shared
from benchmarks.scaling_market import cut
from benchmarks.scaling_report import BLOCKS, DOCUMENT, filled
from benchmarks.scaling_results import RESULTS, merge, read, slope
from benchmarks.scaling_steps import STEPS, watched, with_what_comes_before
from stock_assets.ingest.snapshot import META_FILE

SIZES = {
    "price files": 100.0,
    "market.duckdb": 40.0,
    "lake/combined": 15.0,
    "lake/features": 20.0,
    "lake/volume_predictions": 10.0,
    "lake/next_day_features": 200.0,
}
"""Bytes of a row."""
MACHINE = {
    "cores": 2,
    "processor": "one",
    "memory": 8e9,
    "python": "3",
    "duckdb": "2",
    "lightgbm": "4",
    "day": "2026-11-20",
}


def run(mode: str, millions: float, seconds: float = 1.0) -> dict[str, Any]:
    """A run in which the step `features` costs 2 CPU seconds and 50 MB a million rows, besides 3 s and 200 MB."""
    rows = millions * 1e6
    taken = {
        "seconds": seconds,
        "cpu": 3 + 2 * millions,
        "peak": 2e8 + 50 * rows,
        "disk": 0,
        "worker_peak": 1e9,
        "load": 2,
    }
    return {
        "mode": mode,
        "millions": millions,
        "rows": int(rows),
        "steps": {"features": taken, "volume_model": taken},
        "bytes": {name: size * rows for name, size in SIZES.items()},
    }


def test_a_market_is_cut_evenly_from_the_whole_alphabet(tmp_path: Path) -> None:
    market = tmp_path / "market"
    for place, name in enumerate("ABCDEFGH"):
        path = market / ("etfs" if place % 2 else "stocks") / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (market / META_FILE).write_text("meta")

    cut(market, 4, tmp_path / "half")

    found = sorted(path.relative_to(tmp_path / "half").as_posix() for path in tmp_path.glob("half/*/*.csv"))
    assert found == ["stocks/A.csv", "stocks/C.csv", "stocks/E.csv", "stocks/G.csv"]
    assert (tmp_path / "half" / META_FILE).read_text() == "meta"
    assert (tmp_path / "half/stocks/A.csv").samefile(market / "stocks/A.csv")
    with pytest.raises(ValueError, match="has 8 files, fewer than 9"):
        cut(market, 9, tmp_path / "more")


def test_a_step_is_run_after_what_it_needs_and_nothing_else() -> None:
    assert with_what_comes_before(["next_day_model"]) == [
        "raw_files",
        "combined",
        "next_day_features",
        "next_day_model",
    ]
    assert with_what_comes_before(reversed(STEPS)) == list(STEPS)


def test_the_most_that_temporary_files_took_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.scaling_steps.LOOK_SECONDS", 0.001)
    with watched([tmp_path / "spilled", tmp_path / "none"]) as peak:
        for size in (100, 7000, 10):
            (tmp_path / "spilled").mkdir(exist_ok=True)
            (tmp_path / "spilled" / "block").write_bytes(bytes(size))
            before = peak.looks
            deadline = time.monotonic() + 30
            while peak.looks < before + 2:
                assert time.monotonic() < deadline
                time.sleep(0.001)

    assert peak.size == 7000


def test_a_size_that_is_measured_again_replaces_itself_and_keeps_other_steps(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for one in (run("default", 10), run("default", 1), run("limit 2GB", 10)):
        merge(path, one, {"cores": 2})
    again = {
        "mode": "default",
        "millions": 10,
        "rows": 5,
        "steps": {"features": {"seconds": 9}},
        "bytes": {"lake/features": 7, "lake/next_day_features": 0},
    }
    merge(path, again, {"cores": 4})

    found = read(path)
    assert found["machine"] == {"cores": 4}
    assert [(one["mode"], one["millions"]) for one in found["runs"]] == [
        ("default", 1), ("default", 10), ("limit 2GB", 10),
    ]  # fmt: skip
    assert found["runs"][1]["steps"]["features"] == {"seconds": 9}
    assert found["runs"][1]["steps"]["volume_model"] == run("default", 10)["steps"]["volume_model"]
    assert found["runs"][1]["bytes"] == run("default", 10)["bytes"] | {"lake/features": 7}


def test_the_slope_is_what_a_row_more_costs() -> None:
    assert slope([(10, 7)]) == 0.7
    assert slope([(10, 25), (20, 45), (40, 85)]) == pytest.approx(2)


def test_the_cost_of_minute_bars_worked_by_hand() -> None:
    made = estimate([run("limit 2GB", 10), run("limit 2GB", 100)], rows=3_600_000_000)

    assert made.core_hours == {"features": pytest.approx(2), "volume_model": pytest.approx(2)}
    assert made.driver == {"volume_model": pytest.approx(180e9)}
    assert sum(made.stored.values()) == pytest.approx(3.6e9 * (100 + 15 + 20 + 10 + 200))
    assert made.task == pytest.approx(5.2e9)
    assert made.database == pytest.approx(3.6e9 * 40)
    assert made.moved == pytest.approx(3.6e9 * (2 * 100 + 3 * 15 + 3 * 20 + 3 * 200 + 10))

    assert made.hours(Cluster(workers=2, cores=4, gigabits=1000, shared=0.5)) == pytest.approx(4 * (0.5 + 0.5 / 8))
    cluster = Cluster(workers=2, cores=2, gigabits=1000, shared=1)
    assert made.hours(cluster) == pytest.approx(1)
    assert made.cost(Prices(core_hour=0.5, gb_month=0.1), cluster) == pytest.approx((2, 3600 * 0.345 * 0.1))
    slow = cluster._replace(gigabits=1)
    assert made.hours(slow) == pytest.approx(3.6 * 915 * 8 / 2 / 3600)
    assert made.gigabits(slow) == pytest.approx(1)


def test_ten_years_of_minutes_are_eight_billion_rows() -> None:
    assert round(ROWS / 1e9) == 8


def test_what_is_shared_is_of_the_largest_size_that_both_numbers_of_workers_measured() -> None:
    one = [run("1 Dask worker", 1, 3), run("1 Dask worker", 10, 30), run("1 Dask worker", 28, 70)]
    two = [run("2 Dask workers", 1, 3), run("2 Dask workers", 10, 20)]

    assert shared({"runs": [*one, *two]}) == pytest.approx(2 / 3)
    assert shared({"runs": one}) is None


def test_the_document_has_the_tables_of_the_results() -> None:
    text = DOCUMENT.read_text("utf-8")

    assert filled(text, read(RESULTS)) == text, "python -m benchmarks.scaling --report"


def test_a_document_without_a_place_for_a_table_is_told() -> None:
    found = {"machine": MACHINE, "runs": [run(mode, 10) for mode in ("default", "limit 2GB")]}
    text = "".join(f"<!-- {name} -->\nold\n<!-- end -->\n" for name in BLOCKS)

    assert "old" not in filled(text, found)
    with pytest.raises(ValueError, match="0 places for `seconds`"):
        filled(text.replace("<!-- seconds -->", ""), found)
