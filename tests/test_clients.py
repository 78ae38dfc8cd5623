"""The examples of docs/serving.md, run as they stand against a live service, and what it says of their answers."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client import REGISTRY

from tests.serving.conftest import Models
from tests.serving.small_market import publish_next_day_model, publish_next_prices, publish_tables, publish_volume_model
from tests.serving.test_process import serve

DOCUMENT = Path(__file__).parent.parent / "docs" / "serving.md"
FENCE = re.compile(r"^```(sh|python|js|json)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
IN_DOCUMENT = {"127.0.0.1:8000": "", "AGM-A": "ABC", "q=agm": "q=abc", "2020-03-02": "2020-03-03", "algorand": "alder"}
"""What the examples name, and what stands for it here."""
COMMANDS = {"sh": ["bash", "-e"], "python": [sys.executable, "-W", "error"], "js": ["node"]}
SUFFIXES = {"sh": "sh", "python": "py", "js": "mjs"}


class Example(NamedTuple):
    """A program, and what the document says that it prints, if it says so."""

    name: str
    language: str
    code: str
    printed: str | None


def examples() -> Iterator[Example]:
    text = DOCUMENT.read_text("utf-8")
    blocks = list(FENCE.finditer(text))
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        language, code = block.groups()
        if language != "json":
            heading = re.findall(r"^## (.*)$", text[: block.start()], re.MULTILINE)[-1]
            told = after and after[1] == "json" and not text[block.end() : after.start()].strip()
            yield Example(f"{heading}, {language}", language, code, after[2] if after and told else None)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    models = Models(tmp_path_factory.mktemp("clients") / "data")
    publish_tables(models.data_dir)
    publish_volume_model(models.data_dir)
    publish_next_day_model(models.data_dir)
    publish_next_prices(models.data_dir)
    with serve(models) as url:
        yield url.removeprefix("http://")


@pytest.mark.parametrize("example", list(examples()), ids=lambda example: example.name)
def test_the_example_runs_and_prints_what_the_document_says(example: Example, address: str, tmp_path: Path) -> None:
    program, *options = COMMANDS[example.language]
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program} here")
    code = example.code
    for named, here in (IN_DOCUMENT | {"127.0.0.1:8000": address}).items():
        code = code.replace(named, here)
    (tmp_path / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    file = tmp_path / f"example.{SUFFIXES[example.language]}"
    file.write_text(code)
    done = subprocess.run(
        [program, *options, str(file)],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "CURL_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout or "-o " in code
    if example.printed:
        assert_alike(json.loads(done.stdout), json.loads(example.printed))


def assert_alike(answered: Any, told: Any) -> None:
    """The same names in the same order and values of the same kind; null is of any, and lists may differ in length."""
    if isinstance(answered, dict) and isinstance(told, dict):
        assert list(answered) == list(told)
        for name, value in answered.items():
            assert_alike(value, told[name])
    elif isinstance(answered, list) and isinstance(told, list):
        for one, other in zip(answered, told, strict=False):
            assert_alike(one, other)
    elif answered is not None and told is not None:
        assert kind(answered) is kind(told)


def kind(value: Any) -> type:
    return float if type(value) is int else type(value)


def test_the_table_has_every_endpoint_and_no_other(tmp_path: Path) -> None:
    table = DOCUMENT.read_text("utf-8").split("| ask | answer |")[1].split("\n\n")[0]
    told = set(re.findall(r"`(?:GET |POST )?(/[^`?\s]*)", table))
    paths = set(Models(tmp_path).app().openapi()["paths"])
    of_v2 = {path for path in paths if path == "/v2" or path.startswith("/v2/")}

    assert of_v2
    assert told - {"/v2/..."} == paths - of_v2


def test_the_metrics_are_all_explained() -> None:
    text = DOCUMENT.read_text("utf-8")
    names = {
        metric.name + "_total" * (metric.type == "counter")
        for metric in REGISTRY.collect()
        if metric.name.startswith("serving_")
    }

    assert set(re.findall(r"`(serving_\w+)", text)) == names
