"""The sensor's ticks without Dagster, for the tests of what it watches."""

from stock_assets.ingest.snapshot import Manifest
from stock_assets.ingest.sources import refresh
from stock_assets.ingest.watch import Decision, Seen, watch
from stock_assets.layout import Layout
from stock_assets.settings import Settings

SETTLE = 60.0


class Sensor:
    """Ticks of a sensor on a real source; only its clock is not real."""

    def __init__(self, layout: Layout, **others: object) -> None:
        values: dict[str, object] = {
            "data_dir": layout.data_dir,
            "settle_seconds": SETTLE,
            "threads": 1,
            "demo_files": 30,
        }
        self.settings = Settings.model_validate(values | others)
        self.seen = Seen()
        self.now = 1000.0

    def tick(self, seconds: float = SETTLE) -> Decision:
        self.now += seconds
        decision = watch(self.settings, self.seen, self.now, busy=False)
        self.seen = Seen.model_validate_json(decision.seen.model_dump_json())
        return decision

    def settled(self) -> Decision:
        """The decision once the source has held still; before that there is none."""
        assert self.tick().run_key is None
        return self.tick()

    def publish(self) -> Manifest:
        return refresh(self.settings, lambda _: None)
