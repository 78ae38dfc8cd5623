"""The assets of the two-input model: its candidates, and the one of them that is served."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from stock_assets.budget import thread_count
from stock_assets.defs.assets import OWNERS, features
from stock_assets.defs.checks import skill_result
from stock_assets.defs.resources import MarketDatabase, writing
from stock_assets.defs.schemas import version_metadata
from stock_assets.learning.candidates import ABOUT
from stock_assets.learning.volume import BASELINE
from stock_assets.volume_candidates import Made, make_candidates
from stock_assets.volume_model import make_volume_model

PREFIX = "volume_candidates"
LIGHTGBM = ("lightgbm_log_ratio", "lightgbm_raw", "constant_multiple")


def candidate_key(name: str) -> dg.AssetKey:
    return dg.AssetKey([PREFIX, name])


@dg.multi_asset(
    name=PREFIX,
    can_subset=True,
    specs=[
        dg.AssetSpec(
            candidate_key(name),
            deps=[features],
            group_name="models",
            kinds={"lightgbm" if name in LIGHTGBM else "scikitlearn", "python"},
            owners=OWNERS,
            description=f"{about} A candidate of `volume_model`, measured on the same test rows as all others; it is "
            f"in `models/volume_model/candidates/{name}`.",
        )
        for name, about in ABOUT.items()
    ],
)
def volume_candidates(context: dg.AssetExecutionContext, database: MarketDatabase) -> Iterator[dg.MaterializeResult]:
    """All candidates, of one read of the features; kept where those have not changed."""
    names = [name for name in ABOUT if candidate_key(name) in context.selected_asset_keys]
    with writing(context) as settings, database.published() as connection:
        found = make_candidates(connection, settings, names, context.run.run_id, context.log.info)
    for name in names:
        yield dg.MaterializeResult(
            asset_key=candidate_key(name),
            metadata=_candidate_metadata(found[name]),
            data_version=dg.DataVersion(_candidate_version(found[name])),
        )


def _candidate_version(made: Made) -> str:
    """The same data and method make the same candidate."""
    return f"{made.manifest['data']['fingerprint'][:16]}-{made.manifest['method'][:16]}"


def _candidate_metadata(made: Made) -> dict[str, Any]:
    manifest = made.manifest
    test = manifest["metrics"]["test"]
    low, high = manifest["metrics"]["skill_interval"][BASELINE]
    return {
        "mae": test["mae"],
        "mae on validation": manifest["metrics"]["validation"]["mae"],
        "median_ape": test["median_ape"],
        "skill": manifest["metrics"]["skill"][BASELINE],
        "skill interval": f"{low:+.2%} to {high:+.2%}",
        "dagster/row_count": test["rows"],
        "test window": f"{test['from']} to {test['to']}",
        "training rows": manifest["rows"]["training"],
        "trained": made.kept is None,
        "kept": made.kept or "no: trained",
        "servable": manifest["servable"],
        "seconds": manifest["seconds"],
        "parameters": dg.MetadataValue.json(manifest["parameters"]),
    }


@dg.asset(
    deps=[candidate_key(name) for name in ABOUT],
    group_name="models",
    kinds={"lightgbm", "python"},
    owners=OWNERS,
    freshness_policy=dg.FreshnessPolicy.time_window(warn_window=timedelta(days=2), fail_window=timedelta(days=4)),
    check_specs=[
        dg.AssetCheckSpec(
            "beats_baseline",
            asset="volume_model",
            description=f"The new version errs less than `{BASELINE}` on the test window; else it is not promoted.",
        )
    ],
)
def volume_model(context: dg.AssetExecutionContext, database: MarketDatabase) -> dg.MaterializeResult:
    """The model of a day's volume from the two features of that day, and the version that is served.

    It is the candidate that errs least on the validation window, of those that the service can run without a pickle.
    Each version is a folder in `models/volume_model` with its manifest, metrics and card; `latest.json` moves to it
    only if it beats the baseline "volume = vol_moving_avg" on the test window. The version before is kept where the
    candidate is the one that it was made from.
    """
    with writing(context) as settings, database.published() as connection:
        model = make_volume_model(
            connection, settings, thread_count(settings), context.asset_key.to_user_string(), context.run.run_id
        )
    context.log.info(model.verdict)
    test = model.manifest["metrics"]["test"]
    return dg.MaterializeResult(
        metadata=version_metadata(model)
        | {
            "candidate": model.manifest["candidate"],
            "coverage": model.manifest["interval"]["coverage"],
            "sample prediction": round(model.manifest["self_test"]["outputs"][0]),
            **{name: test[name] for name in ("rows", "mae", "rmse", "median_ape", "r2_log")},
        },
        check_results=[skill_result("beats_baseline", model)],
        data_version=dg.DataVersion(model.manifest["files"]["model.txt"]),
    )
