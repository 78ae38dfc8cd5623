"""The checks of the tables as Dagster shows them: specs for the assets, results from findings."""

from collections.abc import Iterator

import dagster as dg

from stock_assets.defs.schemas import table_value
from stock_assets.errors import UserError
from stock_assets.quality import Finding, require
from stock_assets.quality_checks import CHECKS
from stock_assets.versions import Trained


def check_specs(table: str) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(check.name, asset=table, blocking=check.blocking, description=check.description)
        for check in CHECKS[table]
    ]


def blocking_results(findings: list[Finding]) -> Iterator[dg.AssetCheckResult]:
    """Nothing where all is well; else all results and then `UserError`, so that nothing is published."""
    try:
        require(findings)
    except UserError:
        yield from check_results(findings)
        raise


def check_results(findings: list[Finding]) -> Iterator[dg.AssetCheckResult]:
    for finding in findings:
        yield dg.AssetCheckResult(
            check_name=finding.check.name,
            passed=finding.passed,
            severity=dg.AssetCheckSeverity.ERROR if finding.check.blocking else dg.AssetCheckSeverity.WARN,
            description=finding.line,
            metadata=_metadata(finding),
        )


def skill_result(name: str, model: Trained) -> dg.AssetCheckResult:
    """Whether a version has skill; without it is not promoted, and what was served before still is."""
    return dg.AssetCheckResult(
        check_name=name,
        passed=model.skill > 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=model.verdict,
        metadata={"skill": model.skill},
    )


def warning_counts(findings: list[Finding]) -> dict[str, int]:
    """Offenders of the checks that only warn, under keys that stay the same, for the plots in the UI."""
    return {finding.check.name: finding.offenders for finding in findings if not finding.check.blocking}


def _metadata(finding: Finding) -> dict[str, dg.MetadataValue]:
    values: dict[str, dg.MetadataValue] = {
        "offenders": dg.MetadataValue.int(finding.offenders),
        "unit": dg.MetadataValue.text(finding.check.unit),
        "total": dg.MetadataValue.int(finding.total),
        "share": dg.MetadataValue.float(finding.share),
    }
    if finding.change is not None:
        values["change"] = dg.MetadataValue.int(finding.change)
    if not finding.passed:
        values["letters"] = dg.MetadataValue.text(" ".join(finding.letters))
        values["examples"] = table_value(finding.examples)
    return values
