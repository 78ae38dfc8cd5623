"""The card beside a model: what it says, in Markdown and in one self-contained page."""

import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from stock_assets.card import Card, Table, write_card
from stock_assets.pictures import Picture

SCORES = {"mae": 405_464.2, "mse": 1e12, "rmse": 1e6, "median_ape": 0.371, "wape": 0.402, "r2_log": 0.8867}
WINDOW = {"rows": 79_972, "from": "2017-11-02", "to": "2021-01-27"}
SKILL = {"vol_moving_avg": 0.045, "volume_before": -2.4}


def scored(rows: int) -> dict[str, Any]:
    return {"rows": rows, "mae": 12.34, "median_ape": 0.5, "wape": 0.25, "r2_log": 0.5, "skill": SKILL}


METRICS: dict[str, Any] = {
    "test": WINDOW | SCORES,
    "baselines": {name: WINDOW | SCORES | {"mae": 424_568.0} for name in SKILL},
    "skill": SKILL,
    "skill_interval": {"vol_moving_avg": [0.041, 0.049], "volume_before": [-2.5, -2.3]},
    "slices": {
        "liquidity": {"under 1,000": scored(2338), "over 10 M": scored(6745)},
        "kind": {"stock": scored(7000)},
        "year": {"2018": scored(9000)},
        "letter": {"A": scored(100)},
    },
    "interval": {"nominal": 0.8, "coverage": 0.803, "by_liquidity": {"under 1,000": 0.712}},
    "folds": [{"from": "2010-01-04", "to": "2011-03-31", **scored(5000)}],
    "split": {"train_to": "2013-11-14", "test_from": "2017-11-02", "gap_trading_days": 30},
}
FACTS: dict[str, Any] = {
    "candidate": "lightgbm_log_ratio",
    "baseline": "vol_moving_avg",
    "target": "log_ratio",
    "inputs": ["vol_moving_avg", "adj_close_rolling_med"],
    "data": {"raw_version": "eb8d65ab97fadf83", "rows": 551_395, "until": "2021-01-27", "letters": ["A", "B"]},
    "parameters": {"learning_rate": 0.1, "num_leaves": 15, "deterministic": True, "max_rows": 1_000_000},
    "input_ranges": {"vol_moving_avg": {"min": 0.0, "max": 1_727_801_693.3}},
    "libraries": {"python": "3.11.7", "lightgbm": "4.7.0"},
}
PICTURE = Picture("a_plot", "A plot", "What it shows.", b"\x89PNG not really")
CARD = Card(
    name="volume_model",
    purpose="Predicts a day's volume from `vol_moving_avg`.",
    uses=("Filling in a volume.",),
    limits=("Only symbols that were alive in 2020.",),
    facts=FACTS,
    metrics=METRICS,
    pictures=(PICTURE,),
    reproduce=("make run", "make test"),
)
BARE = Card("bare", "Predicts.", (), (), {}, {name: METRICS[name] for name in ("test", "baselines", "skill")}, (), ())


class Page(HTMLParser):
    """The tags, the text and the sources of a page; it fails on tags that do not match."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.sources: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.texts.append(" ".join(data.split()))


def both(folder: Path, card: Card) -> tuple[str, str]:
    """The Markdown and the page."""
    write_card(folder, card)
    return (folder / "card.md").read_text("utf-8"), (folder / "card.html").read_text("utf-8")


def headings(markdown: str) -> list[str]:
    return re.findall(r"^#+ (.*)$", markdown, re.MULTILINE)


def cells(markdown: str, first: str) -> list[list[str]]:
    """The cells of every row of a table that begins with `first`."""
    rows = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith(f"| {first} |")]
    return [[cell.strip() for cell in row[1:]] for row in rows]


def test_both_cards_and_the_plots_are_written(tmp_path: Path) -> None:
    write_card(tmp_path, CARD)

    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == [
        "card.html",
        "card.md",
        "plots/a_plot.png",
    ]
    assert (tmp_path / "plots" / "a_plot.png").read_bytes() == PICTURE.png


def test_the_figures_are_those_of_the_metrics_as_people_read_them(tmp_path: Path) -> None:
    markdown, page = both(tmp_path, CARD)

    assert cells(markdown, "the model") == [["405,464", "1,000,000", "37.1 %", "40.2 %", "0.887"]]
    assert cells(markdown, "vol_moving_avg")[0][-1] == "+4.5 % (+4.1 % to +4.9 %)"
    assert cells(markdown, "volume_before")[0][-1] == "-240 % (-250 % to -230 %)"
    assert cells(markdown, "under 1,000") == [
        ["71.2 %"],
        ["2,338", "12.3", "50.0 %", "25.0 %", "0.500", "+4.5 %", "-240 %"],
    ]
    assert cells(markdown, "2010-01-04 to 2011-03-31")[0][:2] == ["5,000", "12.3"]
    assert cells(markdown, "feature rows") == [["551,395"]]
    assert cells(markdown, "max_rows") == [["1,000,000"]]
    texts = Page(page).texts
    for figure in ("405,464", "37.1 %", "+4.5 %", "+4.5 % (+4.1 % to +4.9 %)", "551,395", "lightgbm_log_ratio"):
        assert figure in texts


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    _, text = both(tmp_path, CARD)
    page = Page(text)

    assert not {"script", "link", "iframe"} & set(page.tags)
    assert page.tags.count("img") == 1
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not re.search(r"url\(|@import|https?:", text)


def test_every_table_row_is_as_wide_as_its_header(tmp_path: Path) -> None:
    markdown, _ = both(tmp_path, CARD)
    tables = re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)

    assert len(tables) > 8
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
        assert re.fullmatch(r"\|(---:?\|)+", table.splitlines()[1])


def test_what_is_missing_leaves_no_heading(tmp_path: Path) -> None:
    markdown, page = both(tmp_path, BARE)

    assert headings(markdown) == ["bare", "Results on the test window", "Against the baselines"]
    for heading in ("Intended use", "Pictures", "How to reproduce it", "By liquidity", "Folds", "Data"):
        assert heading not in markdown
        assert heading not in page
    assert not (tmp_path / "plots").exists()


def test_what_is_there_has_its_heading(tmp_path: Path) -> None:
    markdown, page = both(tmp_path, CARD)

    found = headings(markdown)
    for heading in ("Intended use", "Pictures", "Split", "How to reproduce it", "Folds before the test window"):
        assert heading in found
        assert heading in Page(page).texts
    assert "<summary>By letter</summary>" in markdown
    assert "<summary>By letter</summary>" in page


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "<script>alert(1)</script> | `<script>`"},
        {"limits": ("<script>alert(1)</script>",)},
        {"facts": FACTS | {"parameters": {"<script>": "<script>alert(1)</script> | x\n\n# y"}}},
        {"facts": FACTS | {"libraries": {"a": ["<script>", 1]}}},
        {"metrics": METRICS | {"slices": {"kind": {"<script>alert(1)</script>": scored(1)}}}},
        {"pictures": (replace(PICTURE, title='"><script>', caption="<script>"),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_markup_in_a_text_is_text(tmp_path: Path, change: dict[str, Any]) -> None:
    markdown, text = both(tmp_path, replace(CARD, **change))

    assert "<script" not in markdown
    assert "script" not in Page(text).tags
    assert headings(markdown).count("y") == 0


def test_a_bar_in_a_cell_does_not_end_it(tmp_path: Path) -> None:
    markdown, _ = both(tmp_path, replace(CARD, facts={"parameters": {"a": "x | y"}}))

    assert "| a | x \\| y |" in markdown


def test_commands_are_shown_as_they_are_typed(tmp_path: Path) -> None:
    markdown, page = both(tmp_path, replace(CARD, reproduce=("make test | tee <log>\n# twice",)))

    assert "\n    make test | tee <log>\n    # twice\n" in markdown
    assert "make test | tee &lt;log&gt;" in page


def test_the_markdown_shows_the_plots_beside_it(tmp_path: Path) -> None:
    markdown, _ = both(tmp_path, CARD)
    (target,) = re.findall(r"!\[A plot\]\((.*)\)", markdown)

    assert (tmp_path / target).read_bytes() == PICTURE.png


def test_the_files_are_listed_with_their_hashes(tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_bytes(b"tree")
    markdown, page = both(tmp_path, CARD)
    digest = hashlib.sha256(b"tree").hexdigest()

    assert cells(markdown, "model.txt") == [[digest]]
    assert digest in Page(page).texts


def test_the_same_card_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()

    assert both(folders[0], CARD) == both(folders[1], CARD)


def test_a_card_in_another_unit_says_so_and_has_the_tables_of_its_caller(tmp_path: Path) -> None:
    table = Table("Prices of a coin", ("", "MAE"), [("today", "0.12345")])
    write_card(tmp_path, replace(CARD, unit="coins", tables=(table,)))
    text = (tmp_path / "card.md").read_text(encoding="utf-8")

    assert "MAE and RMSE are in coins" in text
    assert "| mean absolute error, coins |" in text
    assert "shares a day" not in text
    assert "with trading" not in text
    assert "| today | 0.12345 |" in text
    assert text.index("### Against the baselines") < text.index("### Prices of a coin") < text.index("## Pictures")
