"""`/` for browsers and programs, and the files of the page."""

import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.assets import PAGE, TYPES
from tests.serving.conftest import Models
from tests.serving.small_market import NEWEST, SYMBOLS, publish_tables

JSON = {"Accept": "application/json"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def test_programs_get_a_summary(models: Models) -> None:
    publish_tables(models.data_dir)
    served, _ = models.publish()
    models.promote(served)
    with TestClient(models.app()) as client:
        answer = client.get("/", headers=JSON)
        links = answer.json().pop("links")
        assert "Accept" in answer.headers["vary"]
        assert client.get("/" + links["models"]).status_code == 200
    summary = {key: value for key, value in answer.json().items() if key not in {"links", "promoted_at"}}
    assert summary == {
        "service": "stock volume predictions",
        "model": "volume_model",
        "version": served,
        "problem": None,
        "data_version": "tables-1",
        "source": "demo",
        "newest_day": str(NEWEST),
        "symbols": len(SYMBOLS),
    }


def test_the_summary_of_an_empty_data_folder_says_what_to_do(client: TestClient) -> None:
    answer = client.get("/", headers=JSON).json()
    assert answer["problem"] == "no volume_model has been promoted; run the pipeline (make run)"
    assert [answer[name] for name in ("model", "version", "newest_day", "symbols", "data_version")] == [None] * 5


@pytest.mark.parametrize("headers", [BROWSER, {}, {"Accept": "text/html, application/json"}])
def test_browsers_get_the_page(good_client: TestClient, headers: dict[str, str]) -> None:
    answer = good_client.get("/", headers=headers)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>Stock volume predictions</title>" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} <= set(
        policy.split("; ")
    )
    again = good_client.get("/", headers=headers | {"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_every_file_that_the_page_names_is_there_to_be_kept_for_ever(good_client: TestClient) -> None:
    page = good_client.get("/").text
    names = set(re.findall(r'(?:src|href|content)="(static/[^"]+)"', page))
    scripts = "".join((PAGE / name).read_text() for name in TYPES if name.endswith(".js"))
    imported = set(re.findall(r'from "\./([a-z]+\.js)"', scripts))
    assert imported <= set(TYPES)
    assert {name.rpartition("/")[2] for name in names} | imported == {*TYPES, "plotly.min.js"} - {"index.html"}
    for name in names:
        answer = good_client.get(name)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["etag"]


def test_a_page_of_an_older_version_still_finds_its_files(good_client: TestClient) -> None:
    answer = good_client.get("/static/before/page.js")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("name", ["nope.js", "..%2Fassets.py", "%2E%2E", "page.js%00"])
def test_other_files_are_not_found(good_client: TestClient, name: str) -> None:
    assert good_client.get(f"/static/v/{name}").status_code == 404


def test_plotly_comes_from_its_package_compressed_for_who_takes_it(good_client: TestClient) -> None:
    spec = find_spec("plotly")
    assert spec
    assert spec.origin
    expected = (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes()
    address = f"/static/{version('plotly')}/plotly.min.js"
    zipped = good_client.get(address, headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert int(zipped.headers["content-length"]) < len(expected) / 3
    assert zipped.content == expected
    plain = good_client.get(address, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == expected


def test_plotly_finds_the_elements_that_keep_it_from_writing_styles(good_client: TestClient) -> None:
    """Its own styles are in page.css, those of its maps are not needed; else the page's policy would be violated."""
    script = good_client.get(f"/static/{version('plotly')}/plotly.min.js").text
    page = good_client.get("/").text
    wanted = set(re.findall(r'document\.getElementById\("([0-9a-f]{64})"\)', script))
    assert wanted
    assert wanted <= set(re.findall(r'id="([^"]+)"', page))
    assert '"plotly.js-style-"' in script
    assert 'id="plotly.js-style-global" class="no-inline-styles"' in page


def test_the_page_asks_no_other_host_and_has_nothing_in_line(good_client: TestClient) -> None:
    page = good_client.get("/").text
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script>", page)
    for name in TYPES:
        if name != "icon.svg":
            assert not re.search(r"https?://", (PAGE / name).read_text()), name


def test_there_is_an_icon_for_pages_that_name_none(good_client: TestClient) -> None:
    answer = good_client.get("/favicon.ico")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
