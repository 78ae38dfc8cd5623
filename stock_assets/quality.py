"""Whether the tables are as promised: runs the checks of a table and tells what they found.

A check is a statement in `sql/checks/<table>` that gives the offenders; where rows are counted, an offender's column
`rows` has their number. Which checks there are is in `quality_checks`.
"""

import glob
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from duckdb import DuckDBPyConnection

from stock_assets.contract import CHECKED
from stock_assets.errors import UserError, first_line
from stock_assets.layout import LETTERS, Table
from stock_assets.quality_checks import CHECKS, Check
from stock_assets.spot_check import SAMPLE, spot_check
from stock_assets.statements import run, sql

Row = dict[str, Any]
Looked = tuple[list[Row], int]
"""The offenders, and how many of the check's unit there are in all."""

EXAMPLES = 10


class Finding(NamedTuple):
    """What a check found: `offenders` of `total`, both in the check's unit.

    `listed` is how many offenders the check gave, `letters` are theirs, and `examples` the first of them. `change` is
    against the last publication, None where that was without this check.
    """

    check: Check
    offenders: int
    total: int
    listed: int
    letters: tuple[str, ...]
    examples: list[Row]
    change: int | None

    @property
    def passed(self) -> bool:
        return not self.offenders

    @property
    def share(self) -> float:
        return self.offenders / self.total if self.total else float(self.offenders > 0)

    @property
    def line(self) -> str:
        """What was found, in one line."""
        trend = f"; {self.change:+,} since the last refresh" if self.change else ""
        if self.passed:
            return f"none of {self.total:,} {self.check.unit}{trend}"
        symbols = f" in {self.listed:,} symbol{'s'[: self.listed - 1]}" if self.check.unit == "rows" else ""
        first = ", ".join(f"{name} {value}" for name, value in self.examples[0].items())
        count = f"{self.offenders:,} of {self.total:,} {self.check.unit} ({100 * self.share:.2g} %){symbols}"
        return " ".join(f"{count}{trend}; first: {first}".split())


def tomorrow() -> date:
    """No trading day is later, wherever it is: in UTC."""
    return datetime.now(UTC).date() + timedelta(days=1)


def inspect_combined(connection: DuckDBPyConnection, files: Iterable[str], latest: date) -> list[Finding]:
    """Check `combined`: it should be made of these files of the snapshot, and no row be later than `latest`."""
    wanted = sorted(files)
    parameters = {"files": wanted, "latest": latest} | _contract("combined")
    totals = _totals(connection, LETTERS) | {"files": len(wanted), "columns": len(CHECKED["combined"])}

    def look(check: Check) -> Looked:
        return offenders_of(connection, f"checks/combined/{check.name}", parameters), totals[check.unit]

    return list(findings_of("combined", look, before=dict(run(connection, "checks/last_counts"))))


def inspect_features(
    connection: DuckDBPyConnection, files: Mapping[str, Path], computed: Iterable[str], version: str
) -> list[Finding]:
    """Check the features of some letters in their Parquet files; a letter without rows should have none.

    `computed` are the symbols whose windows were just computed. With another `version` of the tables other rows are
    sampled. Raises `UserError` for a file that cannot be read.
    """
    paths = [glob.escape(str(path)) for path in files.values() if path.exists()]
    rows = dict(run(connection, "checks/features/file_rows", files=paths)) if paths else {}
    parameters = {
        "files": paths,
        "letters": list(files),
        "letter_rows": [rows.get(letter) for letter in files],
        "computed": list(computed),
        "version": version,
    } | _contract("features")
    totals = _totals(connection, files) | {"letters": len(files), "columns": len(paths) * len(CHECKED["features"])}

    def look(check: Check) -> Looked:
        if not paths and check.name != "complete":
            return [], 0
        if check.name == "spot_check":
            return spot_check(connection, _named_in(SAMPLE, parameters))
        return offenders_of(connection, f"checks/features/{check.name}", parameters), totals[check.unit]

    try:
        return list(findings_of("features", look, before={}))
    except duckdb.Error as error:
        damaged = [path for path in files.values() if path.exists() and not _is_readable(connection, path)]
        if not damaged:
            raise
        raise UserError(f"{damaged[0]} cannot be read ({first_line(error)}): remove it and run again") from error


def _is_readable(connection: DuckDBPyConnection, path: Path) -> bool:
    try:
        connection.execute(sql("checks/features/read_all"), {"file": glob.escape(str(path))}).fetchall()
    except duckdb.Error:
        return False
    return True


def record(connection: DuckDBPyConnection, findings: list[Finding]) -> None:
    """Keep the counts in the database that is about to be published, for the next one to be compared with."""
    run(
        connection,
        "record_quality",
        checks=[finding.check.name for finding in findings],
        offenders=[finding.offenders for finding in findings],
        totals=[finding.total for finding in findings],
    )


def require(findings: list[Finding]) -> None:
    """Raise `UserError` with one line if a blocking check failed; then nothing may be published."""
    failed = [finding for finding in findings if finding.check.blocking and not finding.passed]
    if failed:
        check, *others = [finding.check for finding in failed]
        also = f" (and {', '.join(other.name for other in others)})" if others else ""
        raise UserError(f"the check {check.name}{also} failed: {failed[0].line}; nothing was published: {check.remedy}")


def _contract(table: Table) -> dict[str, list[str]]:
    return {"names": [name for name, _, _ in CHECKED[table]], "types": [kind for _, kind, _ in CHECKED[table]]}


def _totals(connection: DuckDBPyConnection, letters: Iterable[str]) -> dict[str, int]:
    ((rows, symbols),) = run(connection, "checks/totals", letters=list(letters))
    return {"rows": rows, "symbols": symbols}


def findings_of(table: str, look: Callable[[Check], Looked], before: Mapping[str, int]) -> Iterator[Finding]:
    """What `look` finds for each check of a table; `before` has the offenders of the last publication by check."""
    for check in CHECKS[table]:
        found, total = look(check)
        yield _finding(check, found, total, before.get(check.name))
        if check.name == "schema" and found:
            return  # the others need these columns


def _finding(check: Check, found: list[Row], total: int, before: int | None) -> Finding:
    offenders = sum(row["rows"] for row in found) if check.unit == "rows" else len(found)
    return Finding(
        check=check,
        offenders=offenders,
        total=total,
        listed=len(found),
        letters=tuple(sorted({row["letter"] for row in found if row.get("letter")})),
        examples=found[:EXAMPLES],
        change=None if before is None else offenders - before,
    )


def offenders_of(connection: DuckDBPyConnection, statement: str, parameters: Mapping[str, Any]) -> list[Row]:
    """The rows of a statement, which is given those of the parameters that it has."""
    result = connection.execute(sql(statement), _named_in(statement, parameters))
    names = [name for name, *_ in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _named_in(statement: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a statement has: DuckDB refuses others."""
    (parsed,) = duckdb.extract_statements(sql(statement))
    return {name: parameters[name] for name in parsed.named_parameters}
