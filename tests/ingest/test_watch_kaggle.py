"""The sensor's ticks on the demo, and on what Kaggle answers when it is asked now and then."""

from pathlib import Path

import pytest

from stock_assets.errors import TransientError, UserError
from stock_assets.ingest import kaggle_dataset
from stock_assets.ingest.snapshot import Manifest, write_manifest
from stock_assets.ingest.watch import ASK_SECONDS, Answer, Seen
from stock_assets.layout import Layout
from tests.ingest.watching import Sensor


def test_the_demo_changes_with_its_settings_only(layout: Layout) -> None:
    demo = Sensor(layout, source="demo", demo_start="2018-06-01")
    demo.tick(1)
    assert demo.tick(1).run_key
    demo.publish()
    demo.seen = Seen()
    demo.tick(1)
    assert demo.tick(1).reason == "the source holds what is published"

    demo.settings = demo.settings.model_copy(update={"demo_seed": 70})
    demo.tick(1)
    assert demo.tick(1).run_key


class Kaggle:
    """What Kaggle answers, and how often it was asked."""

    def __init__(self) -> None:
        self.answer: str | UserError = "alice/market/versions/1"
        self.asked = 0

    def current_version(self, _: str, _report: object, tries: int) -> str:
        self.asked += 1
        assert tries == 1  # the sensor looks again anyway
        if isinstance(self.answer, UserError):
            raise self.answer
        return self.answer


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch) -> Kaggle:
    server = Kaggle()
    monkeypatch.setattr(kaggle_dataset, "current_version", server.current_version)
    return server


@pytest.fixture
def published_kaggle(layout: Layout, kaggle: Kaggle) -> Sensor:
    layout.raw.mkdir(parents=True)
    origin = "kaggle alice/market/versions/1"
    write_manifest(layout, Manifest(source="kaggle", origin=origin, version="1" * 16, root=Path("raw/1"), files=[]))
    return Sensor(layout, source="kaggle", kaggle_dataset="alice/market")


def test_kaggle_is_asked_now_and_then(published_kaggle: Sensor, kaggle: Kaggle) -> None:
    reasons = [published_kaggle.tick(30).reason for _ in range(20)]

    assert reasons[1] == "the source holds what is published"
    assert {reason[:9] for reason in reasons[2:]} == {"no change"}
    assert kaggle.asked == 1
    published_kaggle.tick(30)
    assert kaggle.asked == 2


def test_a_new_version_on_kaggle_is_one_run(published_kaggle: Sensor, kaggle: Kaggle) -> None:
    for _ in range(3):
        published_kaggle.tick(30)
    kaggle.answer = "alice/market/versions/2"

    keys = [published_kaggle.tick(30).run_key for _ in range(60)]

    (key,) = filter(None, keys)
    assert key.startswith("kaggle alice/market/versions/2 seen ")


@pytest.mark.parametrize("kind", [UserError, TransientError])
def test_a_trouble_with_kaggle_is_told_until_it_is_over(
    published_kaggle: Sensor, kaggle: Kaggle, kind: type[UserError]
) -> None:
    seen = published_kaggle.tick().seen
    kaggle.answer = kind("no credentials\nmore")

    told = [published_kaggle.tick(ASK_SECONDS), published_kaggle.tick(30), published_kaggle.tick(30)]

    assert {(decision.run_key, decision.reason) for decision in told} == {(None, "no credentials")}
    assert kaggle.asked == 2
    assert published_kaggle.seen.model_copy(update={"answer": seen.answer}) == seen
    kaggle.answer = "alice/market/versions/2"
    published_kaggle.tick(ASK_SECONDS)
    assert published_kaggle.tick().run_key


def test_another_dataset_is_asked_for_at_once(published_kaggle: Sensor, kaggle: Kaggle) -> None:
    published_kaggle.tick()
    kaggle.answer = "bob/market/versions/7"
    published_kaggle.settings = published_kaggle.settings.model_copy(update={"kaggle_dataset": "bob/market"})

    answer = published_kaggle.tick(1).seen.answer

    assert answer == Answer(dataset="bob/market", at=published_kaggle.now, version="bob/market/versions/7")
    assert published_kaggle.tick(1).run_key
