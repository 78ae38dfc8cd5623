"""`/models`: what is served, what each version is worth, its card and its pictures."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.catalogue import MOST_VERSIONS
from stock_assets.registry import promote
from tests.serving.conftest import QUESTION, Models
from tests.serving.small_market import PIXEL, publish_next_day_model, publish_next_prices, publish_volume_model


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Two volume models, the second one promoted, and a next-day model."""
    models = Models(tmp_path_factory.mktemp("data"))
    publish_volume_model(models.data_dir)
    publish_volume_model(models.data_dir, level=0.5)
    publish_next_day_model(models.data_dir)
    return models


@pytest.fixture(scope="module")
def asked(market: Models) -> Iterator[TestClient]:
    with TestClient(market.app()) as client:
        yield client


def _versions(models: Models, name: str = "volume_model") -> list[str]:
    return sorted(path.parent.name for path in (models.data_dir / "models" / name).glob("*/manifest.json"))


def test_the_list_says_what_is_served_and_what_it_is_worth(market: Models, asked: TestClient) -> None:
    volume, next_day, _ = asked.get("/models").json()["models"]
    assert volume | {"promoted_at": "..."} == {
        "name": "volume_model",
        "predicts": "A day's volume, from the 30-day windows that end on that day.",
        "version": _versions(market)[1],
        "promoted_at": "...",
        "baseline": "vol_moving_avg",
        "skill": 0.2,
        "versions": 2,
        "problem": None,
    }
    assert volume["promoted_at"] == asked.get("/health/ready").json()["promoted_at"]
    assert (next_day["name"], next_day["version"]) == ("next_day_model", _versions(market, "next_day_model")[0])


def test_a_model_lists_its_versions_newest_first(market: Models, asked: TestClient) -> None:
    answer = asked.get("/models/volume_model").json()
    older, newer = _versions(market)
    listed = answer["listed"]
    assert [(one["version"], one["promoted"], one["promoted_before"]) for one in listed] == [
        (newer, True, False),
        (older, False, True),
    ]
    manifest = json.loads((market.folder / newer / "manifest.json").read_text())
    assert listed[0]["created_at"].replace("Z", "+00:00") == manifest["created_at"]
    assert listed[0]["data"] == manifest["data"]
    test = listed[0]["metrics"]["test"]
    assert test == manifest["metrics"]["test"] | {"rmse": None, "r2_log": None}
    assert listed[0]["metrics"]["baselines"]["vol_moving_avg"]["mae"] == 1250.5
    assert listed[0]["metrics"]["skill_interval"] == {"vol_moving_avg": [0.15, 0.25]}
    assert listed[0]["metrics"]["interval"] == {"nominal": 0.8, "coverage": 0.79, "by_liquidity": {"under 1,000": 0.7}}
    assert listed[0]["metrics"]["candidates"]["linear"]["validation_mae"] == 1100.0
    assert (listed[0]["card"], listed[0]["plots"]) == (True, ["skill_by_model"])


def test_a_promotion_shows_in_the_list(models: Models) -> None:
    first = publish_volume_model(models.data_dir)
    publish_volume_model(models.data_dir, level=0.5)
    with TestClient(models.app()) as client:
        assert [one["promoted"] for one in client.get("/models/volume_model").json()["listed"]] == [True, False]
        promote(models.folder, first, "volume_model", "a-run")
        assert [one["promoted"] for one in client.get("/models/volume_model").json()["listed"]] == [False, True]


def test_the_version_in_use_stays_that_of_the_service_where_a_promoted_one_is_refused(models: Models) -> None:
    sound = publish_volume_model(models.data_dir)
    with TestClient(models.app()) as client:
        refused = publish_volume_model(models.data_dir, level=0.5)
        (models.folder / refused / "model.txt").write_text("damaged")
        client.app.state.store.refresh()  # type: ignore[attr-defined]
        answer = client.get("/models/volume_model").json()
    assert answer["version"] == sound
    assert f"version {sound} stays in service" in answer["problem"]


def test_before_the_first_model_the_list_says_what_to_do(client: TestClient) -> None:
    pipeline = "run the pipeline (make run)"
    crypto = "run the crypto pipeline (stock-assets run --select 'crypto_prices*')"
    remedies = {"volume_model": pipeline, "next_day_model": pipeline, "next_price_model": crypto}
    models = client.get("/models").json()["models"]
    for summary, (name, remedy) in zip(models, remedies.items(), strict=True):
        problem = f"no {name} has been promoted; {remedy}"
        assert summary | {"version": None, "versions": 0, "name": name, "problem": problem} == summary
    assert client.get("/models/volume_model").json()["listed"] == []
    answer = client.get("/models/volume_model/card")
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        f"no volume_model has been promoted; {pipeline}",
    )


def test_a_model_whose_versions_are_all_worth_nothing_says_so_and_lists_them(models: Models) -> None:
    version = publish_next_prices(models.data_dir)
    with TestClient(models.app()) as client:
        answer = client.get("/models/next_price_model").json()
        card = client.get(f"/models/next_price_model/card?version={version}")
        assert client.get("/models/next_price_model/card").status_code == 404
    assert answer["predicts"] == "A crypto asset's price on the next day."
    assert (answer["version"], answer["versions"]) == (None, 1)
    assert answer["problem"] == (
        "no next_price_model has been promoted; no version so far is worth more than its baseline"
    )
    listed = answer["listed"][0]
    assert (listed["version"], listed["promoted"], listed["candidate"]) == (version, False, "ridge_returns")
    assert (listed["metrics"]["skill"], listed["problem"]) == ({"random_walk": 0.2}, None)
    assert "<h1>next_price_model</h1>" in card.text


def test_other_models_are_listed_too_and_other_folders_are_not(models: Models) -> None:
    publish_next_day_model(models.data_dir)
    folder = models.data_dir / "models"
    (folder / "next_day_model").rename(folder / "own_model")
    (folder / "notes").mkdir()
    with TestClient(models.app()) as client:
        names = [summary["name"] for summary in client.get("/models").json()["models"]]
        assert names == ["volume_model", "next_day_model", "next_price_model", "own_model"]
        assert client.get("/models/notes").status_code == 404


@pytest.mark.parametrize("content", ["{", "[]", '{"metrics": {"test": {"mae": "much"}}}', '{"files": 3}'])
def test_a_damaged_manifest_is_told_and_the_rest_is_listed(models: Models, content: str) -> None:
    damaged = publish_volume_model(models.data_dir)
    sound = publish_volume_model(models.data_dir, level=0.5)
    (models.folder / damaged / "manifest.json").write_text(content)
    with TestClient(models.app()) as client:
        newer, older = client.get("/models/volume_model").json()["listed"]
        assert (newer["version"], newer["problem"]) == (sound, None)
        assert older["version"] == damaged
        assert (older["problem"] is None) == (content == '{"files": 3}')
        card = client.get(f"/models/volume_model/card?version={damaged}")
        prediction = client.get("/predict", params={**QUESTION, "version": damaged})
    assert card.status_code in {404, 409}
    assert prediction.status_code == 409
    for told in (str(older["problem"]), card.text, prediction.text):
        assert str(models.data_dir) not in told


def test_a_broken_pointer_is_told(models: Models) -> None:
    publish_next_day_model(models.data_dir)
    (models.data_dir / "models" / "next_day_model" / "latest.json").write_text("{")
    with TestClient(models.app()) as client:
        problem = client.get("/models").json()["models"][1]["problem"]
    assert problem.startswith("latest.json is not a pointer")


def test_no_more_than_so_many_versions_are_listed_and_the_promoted_one(models: Models) -> None:
    promoted = publish_volume_model(models.data_dir)
    for number in range(MOST_VERSIONS + 5):
        folder = models.folder / f"30000101T{number:06}-aaaaaaaa"
        folder.mkdir()
        (folder / "manifest.json").write_text("{}")
    with TestClient(models.app()) as client:
        listed = client.get("/models/volume_model").json()["listed"]
    assert len(listed) == MOST_VERSIONS + 1
    assert (listed[0]["version"][9:15], listed[-1]["version"]) == ("000104", promoted)


def test_the_card_and_its_pictures_are_those_of_the_version_in_use_or_asked_for(
    market: Models, asked: TestClient
) -> None:
    older, newer = _versions(market)
    (market.folder / older / "card.html").write_text("the older one")
    card = asked.get("/models/volume_model/card")
    assert card.text == (market.folder / newer / "card.html").read_text()
    assert card.headers["content-type"].startswith("text/html")
    assert "script-src" not in card.headers["content-security-policy"]
    assert card.headers["content-security-policy"].startswith("default-src 'none'")
    assert card.headers["cache-control"] == "no-cache"
    asked_for = asked.get(f"/models/volume_model/card?version={older}")
    assert (asked_for.text, "immutable" in asked_for.headers["cache-control"]) == ("the older one", True)
    picture = asked.get("/models/volume_model/plots/skill_by_model.png")
    assert (picture.content, picture.headers["content-type"]) == (PIXEL, "image/png")


@pytest.mark.parametrize(
    "path",
    [
        "/models/nope",
        "/models/nope/card",
        "/models/../card",
        "/models/volume_model/card?version=nope",
        "/models/volume_model/card?version=..",
        "/models/volume_model/plots/nope.png",
        "/models/volume_model/plots/..%2F..%2Flatest.png",
        "/models/volume_model/plots/..%2Fplots%2Fskill_by_model.png",
        "/models/volume_model/plots/%2Fetc%2Fpasswd.png",
    ],
)
def test_what_no_manifest_names_is_not_found(asked: TestClient, path: str) -> None:
    answer = asked.get(path)
    assert answer.status_code == 404
    assert isinstance(answer.json()["detail"], str)


def test_a_file_beside_the_model_that_the_manifest_does_not_name_is_not_served(
    market: Models, asked: TestClient
) -> None:
    (market.folder / _versions(market)[1] / "plots" / "stray.png").write_bytes(PIXEL)
    assert asked.get("/models/volume_model/plots/stray.png").status_code == 404


def test_a_picture_that_is_gone_is_told(models: Models) -> None:
    version = publish_volume_model(models.data_dir)
    (models.folder / version / "plots" / "skill_by_model.png").unlink()
    with TestClient(models.app()) as client:
        answer = client.get("/models/volume_model/plots/skill_by_model.png")
    assert answer.status_code == 409
    assert answer.json()["detail"] == (
        f"plots/skill_by_model.png of version {version} cannot be read: No such file or directory"
    )


def test_a_listing_is_read_once_while_nothing_changes(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_volume_model(models.data_dir)
    reads: list[Path] = []
    real = Path.read_bytes
    with TestClient(models.app()) as client:
        client.get("/models")
        monkeypatch.setattr(Path, "read_bytes", lambda self: reads.append(self) or real(self))  # type: ignore[func-returns-value]
        client.get("/models")
        client.get("/models/volume_model")
    assert reads == []
