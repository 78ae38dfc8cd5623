"""`stock-assets run` with what was measured as a line of JSON in place of its table; reads the same settings.

`python -m benchmarks.pipeline [SELECTION]`, with Dagster's selection syntax.
"""

import json
import sys

from stock_assets.definitions import defs
from stock_assets.defs.running import open_instance, run_full_refresh
from stock_assets.settings import load_settings


def main() -> None:
    """Run everything; the seconds are Dagster's own for each step."""
    settings = load_settings()
    with open_instance(settings) as instance:
        outcome = run_full_refresh(instance, defs, None, next(iter(sys.argv[1:]), None), lambda _asset, _message: None)
    if outcome.error:
        sys.exit(outcome.error)
    rows = outcome.metadata.get("features", {}).get("dagster/row_count", 0)
    print(json.dumps({"seconds": outcome.seconds, "rows": rows}))


if __name__ == "__main__":
    main()
