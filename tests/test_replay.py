"""`stock-assets replay`: what it says of logs that the service wrote, held against LightGBM and numpy."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from tests.helpers import demo_settings, stock_assets_here
from tests.serving.conftest import Models, publish, sound_facts, train

INPUTS = ["vol_moving_avg", "adj_close_rolling_med"]


class Lab:
    """A data folder with two versions, and a log that the service wrote with the first one."""

    def __init__(self, data_dir: Path) -> None:
        self.models = Models(data_dir)
        self.old, self.new = (self._publish(level) for level in (0.0, 0.4))
        self.models.promote(self.old)
        draw = np.random.default_rng(3)
        self.questions = draw.uniform(0, [2000, 900], (60, 2))
        self.ask(self.questions)

    def _publish(self, level: float) -> str:
        booster = train(level)
        return publish(self.models.folder, booster.model_to_string(), sound_facts(booster))

    def ask(self, questions: np.ndarray) -> None:
        with TestClient(create_app(self.models.settings().model_copy(update={"prediction_log": True}))) as client:
            for question in questions.tolist():
                assert client.get("/predict", params=dict(zip(INPUTS, question, strict=True))).status_code == 200

    @property
    def folder(self) -> Path:
        return self.models.data_dir / "logs" / "predictions"

    def run(self, *arguments: str) -> tuple[int, str, str]:
        variables = demo_settings(self.models.data_dir) | {"COLUMNS": "100"}
        done = stock_assets_here("replay", *arguments, variables=variables)
        return done.returncode, done.stdout, done.stderr

    def json(self, *arguments: str) -> Any:
        code, printed, said = self.run(*arguments, "--json")
        assert (code, said) == (0, "")
        return json.loads(printed)

    def edit(self, change: pl.Expr) -> None:
        (path,) = self.folder.iterdir()
        pl.read_parquet(path).with_columns(change).write_parquet(path)


def volumes(level: float, questions: np.ndarray) -> np.ndarray:
    """By the definition of the model: its score is log(volume / moving average)."""
    return np.rint(questions[:, 0] * np.exp(train(level).predict(questions, num_threads=1)))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """For tests that change nothing."""
    return Lab(tmp_path_factory.mktemp("replay") / "data")


@pytest.fixture
def lab(tmp_path: Path, written: Lab) -> Lab:
    """A copy of a test's own."""
    own = object.__new__(Lab)
    own.__dict__ |= vars(written) | {"models": Models(tmp_path / "data")}
    shutil.copytree(written.models.data_dir, own.models.data_dir)
    return own


def test_the_logged_version_gives_the_logged_answers(written: Lab) -> None:
    (found,) = written.json()
    assert (found["version"], found["against"]) == (written.old, "the logged answers")
    assert (found["rows"], found["changed"], found["largest"]) == (60, 0, [])
    assert found["difference"] == {"mean": 0, "median": 0, "p95": 0}


def test_another_version_is_held_against_the_logged_answers(written: Lab) -> None:
    (found,) = written.json("--version", written.new)
    old, new = (volumes(level, written.questions) for level in (0.0, 0.4))
    apart, factor = abs(new - old), (np.maximum(old, new) + 1) / (np.minimum(old, new) + 1)
    for name, expected in (("difference", apart), ("factor", factor)):
        wanted = [expected.mean(), np.median(expected), np.percentile(expected, 95)]
        assert list(found[name].values()) == pytest.approx(wanted, rel=1e-12)
    assert found["changed"] == np.count_nonzero(apart)
    assert found["total"] == pytest.approx(new.sum() / old.sum() - 1)
    first = int(np.argmax(apart))
    largest = found["largest"][0]
    assert [largest[name] for name in INPUTS] == written.questions[first].tolist()
    assert (largest["against"], largest["version"]) == (old[first], new[first])
    assert [abs(row["against"] - row["version"]) for row in found["largest"]] == sorted(apart)[: -10 - 1 : -1]


def test_two_versions_are_held_against_each_other(written: Lab) -> None:
    (found,) = written.json("--version", written.new, "--against", written.old)
    (logged,) = written.json("--version", written.new)
    assert found.pop("against") == written.old
    assert logged.pop("against") == "the logged answers"
    assert found == logged


def test_a_question_that_is_asked_often_is_one_of_the_largest_once(lab: Lab) -> None:
    lab.ask(np.array([[5000.0, 10.0]] * 15))
    largest = lab.json("--version", lab.new)[0]["largest"]
    assert [row["vol_moving_avg"] for row in largest].count(5000.0) == 1
    assert len(largest) == 10


def test_only_the_newest_files_are_read_as_far_as_rows_are_wanted(lab: Lab) -> None:
    lab.ask(np.array([[5000.0, 10.0]] * 4))
    assert lab.json()[0]["rows"] == 64
    assert lab.json("--rows", "4")[0]["rows"] == 4
    assert lab.json("--rows", "5")[0]["rows"] == 64


def test_logs_can_be_named(lab: Lab, tmp_path: Path) -> None:
    elsewhere = lab.folder.rename(tmp_path / "elsewhere")
    (file,) = elsewhere.iterdir()
    assert lab.json(str(file))[0]["rows"] == lab.json(str(elsewhere))[0]["rows"] == 60
    code, _, said = lab.run()
    assert code == 1
    assert "STOCK_ASSETS_PREDICTION_LOG=true makes the service keep one" in said


def test_an_answer_that_the_version_never_gave_is_found(lab: Lab) -> None:
    lab.edit(pl.when(pl.int_range(pl.len()) == 7).then(1).otherwise("volume").alias("volume"))
    code, printed, said = lab.run()
    assert code == 1
    assert said.startswith("stock-assets: logged answers are not those of their versions")
    assert "1 answers (1.7 %) differ" in printed


def test_versions_that_are_gone_are_told_and_the_others_checked(lab: Lab) -> None:
    lab.edit(pl.when(pl.int_range(pl.len()) < 10).then(pl.lit("gone")).otherwise("version").alias("version"))
    code, printed, said = lab.run("--json")
    assert (code, said) == (0, "version gone is not on disk: its 10 logged answers are not checked\n")
    assert [(one["version"], one["rows"]) for one in json.loads(printed)] == [(lab.old, 50)]


def test_the_tables_fit_a_terminal(written: Lab) -> None:
    code, printed, said = written.run("--version", written.new)
    assert (code, said) == (0, "")
    assert max(map(len, printed.splitlines())) <= 100
    assert f"{written.new} against the logged answers: 60 rows" in printed
    assert printed.count("Z ") == 10


@pytest.mark.parametrize("arguments", [("--version", "none"), ("--version", "../x"), ("--against", "x")])
def test_wrong_versions_are_one_line(written: Lab, arguments: tuple[str, ...]) -> None:
    code, printed, said = written.run(*arguments)
    assert (code, printed, said.count("\n")) == (1, "", 1)
    assert said.startswith("stock-assets: ")


def test_a_changed_version_is_one_line(lab: Lab) -> None:
    (lab.models.folder / lab.old / "model.txt").write_text("changed")
    code, _, said = lab.run()
    assert (code, said.count("\n")) == (1, 1)
    assert "it was changed" in said


@pytest.mark.parametrize("content", [b"", b"PAR1 no", pl.DataFrame({"a": [1]})])
def test_a_file_that_is_no_log_is_one_line(written: Lab, tmp_path: Path, content: Any) -> None:
    path = tmp_path / "x.parquet"
    content.write_parquet(path) if isinstance(content, pl.DataFrame) else path.write_bytes(content)
    code, _, said = written.run(str(path))
    assert (code, said.count("\n")) == (1, 1)
    assert f"{path} is not a log of predictions" in said
