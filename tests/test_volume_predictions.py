"""The table of predictions against the booster, the service and the feature files; what is skipped; what is refused."""

from datetime import date
from pathlib import Path

import duckdb
import lightgbm
import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from polars.testing import assert_frame_equal

from serving.app import create_app
from serving.tabulating import table_of
from stock_assets import volume_predictions
from stock_assets.contract import PREDICTION_COLUMNS
from stock_assets.errors import UserError
from stock_assets.layout import LETTERS, Layout
from stock_assets.promoted import read_promoted
from stock_assets.publishing import staging
from stock_assets.settings import Settings
from stock_assets.volume_predictions import (
    LetterFacts,
    Predict,
    Stale,
    predictor,
    stale_predictions,
    update_predictions,
)
from tests.conftest import Built, open_database
from tests.helpers import letter_files, litter
from tests.promoted_model import INPUTS, booster_of, copy_market, promote_model, read_features


def predict_letters(layout: Layout, letters: tuple[str, ...] = LETTERS) -> list[LetterFacts]:
    """What the asset does."""
    model = read_promoted(layout.models / "volume_model")
    with open_database(layout) as connection, staging() as stage:
        stale = stale_predictions(connection, layout, model.version, letters)
        copies = {letter: stage(layout.parquet("volume_predictions", letter)) for letter in stale}
        return update_predictions(connection, letters, stale, copies, predictor(model, threads=1))


def read_predictions(layout: Layout, letter: str = "*") -> pl.DataFrame:
    pattern = f"lake/volume_predictions/letter={letter}/*.parquet"
    return pl.read_parquet(layout.data_dir / pattern, hive_partitioning=False)


def expected(booster: lightgbm.Booster, features: pl.DataFrame, target: str = "log_ratio") -> list[int | None]:
    """Row by row what the model's definition says, rounded by Python."""
    rows = features.select(INPUTS).fill_null(float("nan")).to_numpy()
    scores = booster.predict(rows, num_threads=1)
    volumes = rows[:, 0] * np.exp(scores) if target == "log_ratio" else np.maximum(scores, 0)
    answered = (rows >= 0).all(axis=1)
    return [round(float(volume)) if good else None for volume, good in zip(volumes, answered, strict=True)]


@pytest.fixture
def market(demo_market: Built, tmp_path: Path) -> Layout:
    return copy_market(demo_market.layout, tmp_path / "own")


@pytest.fixture(scope="module")
def predicted(demo_market: Built, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """All letters of a market, which tests only look at."""
    layout = copy_market(demo_market.layout, tmp_path_factory.mktemp("predicted") / "data")
    promote_model(layout)
    predict_letters(layout)
    return layout


def test_each_row_has_the_prediction_of_the_booster(predicted: Layout) -> None:
    features, table = read_features(predicted), read_predictions(predicted)

    assert table["predicted_volume"].to_list() == expected(booster_of(), features)
    assert 0 < table["predicted_volume"].null_count() < len(table) / 2


def test_rows_and_their_order_are_those_of_the_features(predicted: Layout) -> None:
    columns = ["Symbol", "Date", "Volume", *INPUTS]
    files = sorted(path.parent.name for path in predicted.data_dir.glob("lake/features/*/*.parquet"))

    for folder in files:
        letter = folder.removeprefix("letter=")
        assert_frame_equal(read_predictions(predicted, letter)[columns], read_features(predicted, letter)[columns])
    assert sorted(path.parent.name for path in predicted.data_dir.glob("lake/volume_predictions/*/*")) == files


def test_columns_are_those_of_the_contract(predicted: Layout) -> None:
    with duckdb.connect() as connection:
        files = str(predicted.parquet("volume_predictions", "T"))
        found = connection.execute("DESCRIBE SELECT * FROM read_parquet($f, hive_partitioning = false)", {"f": files})
        assert [row[:2] for row in found.fetchall()] == [(name, kind) for name, kind, _ in PREDICTION_COLUMNS]


@pytest.mark.parametrize(("target", "level", "spread"), [("log_ratio", -0.2, 0.3), ("volume", 50.5, 90.0)])
def test_many_rows_with_many_threads_keep_their_order(tmp_path: Path, target: str, level: float, spread: float) -> None:
    """Several row groups, so that threads have something to mix up, and inputs that the service refuses."""
    rng = np.random.default_rng(4)
    rows = 400_000
    table = pl.DataFrame(
        {
            "Symbol": np.repeat(["AA", "AB"], rows // 2),
            "Date": pl.Series(np.arange(rows) % 20_000).cast(pl.Int32).cast(pl.Date),
            "Volume": rng.integers(0, 10**9, rows),
            "vol_moving_avg": np.exp(rng.normal(11, 4, rows)),
            "adj_close_rolling_med": rng.normal(30, 40, rows),
        }
    ).with_columns(pl.when(pl.int_range(rows) % 97 > 5).then(pl.col(name)).name.keep() for name in INPUTS)
    features, path = tmp_path / "features.parquet", tmp_path / "predictions.parquet"
    table.write_parquet(features, row_group_size=20_000)
    booster = booster_of(level, spread)
    layout = Layout(tmp_path)
    table.write_parquet(_made(layout.parquet("features", "A")))
    promote_model(layout, booster, target=target)
    model = read_promoted(layout.models / "volume_model")
    with duckdb.connect(config={"threads": 4}) as connection:
        volume_predictions._write(connection, Stale(features, "x"), path, predictor(model, threads=2))
    written = pl.read_parquet(path)

    assert_frame_equal(written.drop("predicted_volume"), table)
    assert written["predicted_volume"].to_list() == expected(booster, table, target)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize(("volume", "rounded"), [(0.5, 0), (1.5, 2), (2.5, 2), (3.75, 4)])
def test_halves_are_rounded_as_in_the_service(tmp_path: Path, volume: float, rounded: int) -> None:
    x = np.random.default_rng(0).uniform(0, 1, (100, 2))
    booster = lightgbm.train({"verbose": -1}, lightgbm.Dataset(x, np.full(100, volume)), num_boost_round=1)
    layout = Layout(tmp_path)
    features = {"vol_moving_avg": [1.0], "adj_close_rolling_med": [1.0]}
    table = pl.DataFrame({"Symbol": ["A"], "Date": [date(2020, 1, 1)], "Volume": [1]} | features)
    table.write_parquet(_made(layout.parquet("features", "A")))
    promote_model(layout, booster, target="volume")
    model = read_promoted(layout.models / "volume_model")
    with duckdb.connect(config={"threads": 1}) as connection:
        stale = Stale(layout.parquet("features", "A"), "x")
        volume_predictions._write(connection, stale, tmp_path / "out.parquet", predictor(model, threads=1))

    assert booster.predict(x[:1]).tolist() == [volume]
    assert pl.read_parquet(tmp_path / "out.parquet")["predicted_volume"].to_list() == [rounded] == [round(volume)]


def test_the_service_gives_the_same_answers(market: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    awkward = [
        {"vol_moving_avg": volume, "adj_close_rolling_med": price}
        for volume in (0.0, 12345.0, 1e15, 1.1e15, -1.0, np.inf)
        for price in (25.0, 0.0, -0.05, np.inf, 1e300)
    ]
    features, path = market.data_dir / "awkward.parquet", market.data_dir / "out.parquet"
    days = pl.DataFrame({"Symbol": ["A"], "Date": [date(2020, 1, 1)], "Volume": [1]})
    days.join(pl.DataFrame(awkward), how="cross").write_parquet(features)
    booster = booster_of()
    self_test = {"inputs": [[12345.0, 25.0]], "outputs": [12345 * float(np.exp(booster.predict([[12345, 25]])[0]))]}
    promote_model(market, booster, self_test=self_test)
    model = read_promoted(market.models / "volume_model")
    with duckdb.connect() as connection:
        volume_predictions._write(connection, Stale(features, "x"), path, predictor(model, threads=1))
    monkeypatch.setattr("serving.loading.tabulated", table_of)
    with TestClient(create_app(Settings(data_dir=market.data_dir))) as client:
        answers = [client.get("/predict", params=question) for question in awkward]

    assert {answer.status_code for answer in answers} == {200, 422}
    assert pl.read_parquet(path)["predicted_volume"].to_list() == [
        answer.json() if answer.status_code == 200 else None for answer in answers
    ]


def test_a_letter_that_is_up_to_date_is_left_as_it_is(market: Layout) -> None:
    promote_model(market)
    first = predict_letters(market)
    before = letter_files(market.data_dir, "volume_predictions")
    second = predict_letters(market)

    assert not any(letter.skipped for letter in first if letter.rows)
    assert all(letter.skipped for letter in second)
    assert letter_files(market.data_dir, "volume_predictions") == before


def test_another_model_makes_all_letters_anew(market: Layout) -> None:
    promote_model(market)
    predict_letters(market)
    before = letter_files(market.data_dir, "volume_predictions")
    promote_model(market, booster_of(level=1.0))
    predict_letters(market)
    after = letter_files(market.data_dir, "volume_predictions")

    assert not set(before.values()) & set(after.values())
    assert read_predictions(market)["predicted_volume"].to_list() == expected(
        booster_of(level=1.0), read_features(market)
    )


def test_a_file_that_is_lost_or_cut_is_made_again_and_no_other(market: Layout) -> None:
    promote_model(market)
    predict_letters(market)
    before = letter_files(market.data_dir, "volume_predictions")
    market.parquet("volume_predictions", "T").unlink()
    cut = market.parquet("volume_predictions", "A")
    cut.write_bytes(cut.read_bytes()[:-50])
    made = [letter.letter for letter in predict_letters(market) if not letter.skipped]
    after = letter_files(market.data_dir, "volume_predictions")

    assert made == ["A", "T"]
    assert {letter for letter in before if before[letter] != after[letter]} == {"A", "T"}
    assert {letter: digest for letter, (digest, _) in before.items()} == {
        letter: digest for letter, (digest, _) in after.items()
    }


def test_features_of_other_prices_make_their_letter_anew(market: Layout) -> None:
    version = promote_model(market)
    predict_letters(market)
    with open_database(market) as connection, pytest.MonkeyPatch.context() as patch:
        assert stale_predictions(connection, market, version, LETTERS) == {}
        patch.setattr(volume_predictions, "stale_letters", lambda *_: {})
        source, target = (market.parquet("features", letter) for letter in "TA")
        target.write_bytes(source.read_bytes())
        assert list(stale_predictions(connection, market, version, LETTERS)) == ["A"]


def test_features_that_do_not_fit_the_prices_are_refused(market: Layout) -> None:
    promote_model(market)
    source, target = (market.parquet("features", letter) for letter in "TA")
    target.write_bytes(source.read_bytes())

    with pytest.raises(UserError, match="the features of A do not fit combined: materialize features first"):
        predict_letters(market)
    assert [letter.letter for letter in predict_letters(market, ("T",))] == ["T"]


def test_a_letter_without_features_has_no_file(market: Layout) -> None:
    promote_model(market)
    stray = _made(market.parquet("volume_predictions", "E"))
    stray.write_bytes(market.parquet("features", "T").read_bytes())
    predict_letters(market)

    assert not market.parquet("features", "E").exists()
    assert not stray.exists()


def test_a_write_that_breaks_off_leaves_the_files_before(market: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    promote_model(market)
    predict_letters(market)
    before = letter_files(market.data_dir, "volume_predictions")
    promote_model(market, booster_of(level=1.0))
    write = volume_predictions._write

    def write_one(connection: duckdb.DuckDBPyConnection, stale: Stale, path: Path, predict: Predict) -> int:
        if path.parent.name == "letter=T":
            raise KeyboardInterrupt
        return write(connection, stale, path, predict)

    monkeypatch.setattr(volume_predictions, "_write", write_one)
    with pytest.raises(KeyboardInterrupt):
        predict_letters(market)

    assert letter_files(market.data_dir, "volume_predictions") == before
    assert litter(market.data_dir) == []


def test_without_a_table_the_bytes_are_the_same(market: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    promote_model(market)
    predict_letters(market, ("T",))
    before = market.parquet("volume_predictions", "T").read_bytes()
    market.parquet("volume_predictions", "T").unlink()
    monkeypatch.setattr(volume_predictions, "tabulate", lambda *_: None)
    predict_letters(market, ("T",))

    assert market.parquet("volume_predictions", "T").read_bytes() == before


def test_no_promoted_model_is_told(market: Layout) -> None:
    with pytest.raises(UserError, match="no version of volume_model is promoted"):
        predict_letters(market)


def test_a_changed_model_file_is_refused(market: Layout) -> None:
    version = promote_model(market)
    with (market.models / "volume_model" / version / "model.txt").open("a") as file:
        file.write("\n")

    with pytest.raises(UserError, match="it was changed; materialize volume_model"):
        predict_letters(market)


@pytest.mark.parametrize("facts", [{"target": "log(Volume)"}, {"inputs": ["Close"]}, {"target": None}])
def test_a_model_of_something_else_is_refused(market: Layout, facts: dict[str, object]) -> None:
    promote_model(market, **facts)

    with pytest.raises(UserError, match="is of another program: materialize volume_model"):
        predict_letters(market)


def test_a_text_that_is_no_booster_is_refused(market: Layout) -> None:
    promote_model(market)
    model = read_promoted(market.models / "volume_model")

    with pytest.raises(UserError, match="not a complete LightGBM text; materialize volume_model"):
        predictor(model._replace(text=model.text[:500]), threads=1)
