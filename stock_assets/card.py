"""The card of a model version: what it is for, how well it does and what it is made of, for people to read."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stock_assets.number_format import percent, plain, signed_percent
from stock_assets.pictures import Picture
from stock_assets.registry import sha256_of

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.nodes import EvalContext

TEMPLATES = Path(__file__).parent / "templates"
PLOTS = "plots"
SHARES = "shares a day"

MEASURES = {
    "mae": ("MAE", plain),
    "rmse": ("RMSE", plain),
    "median_ape": ("median APE", percent),
    "wape": ("WAPE", percent),
    "r2_log": ("R² of log", "{:.3f}".format),
}
SLICES = {"liquidity": "By liquidity", "kind": "By kind", "year": "By year", "letter": "By letter"}
SPLIT = {
    "train_to": "training window up to",
    "validation_from": "validation from",
    "validation_to": "validation to",
    "test_from": "test from",
    "gap_trading_days": "trading days left out between two windows",
}
DATA = {
    "raw_version": "raw snapshot",
    "rows": "feature rows",
    "until": "last day",
    "letters": "letters",
    "assets": "assets",
    "fingerprint": "fingerprint of the features",
}
MODEL = {
    "version": "version",
    "created_at": "created",
    "candidate": "candidate",
    "target": "target",
    "inputs": "inputs",
    "baseline": "baseline that decides on promotion",
    "run_id": "run",
    "method": "hash of the method",
}


@dataclass(frozen=True)
class Card:
    """What a card says. `purpose`, `uses`, `limits` and `reproduce` (commands) are the caller's words.

    `facts` is the content of `manifest.json` and `metrics` that of `metrics.json`; the card shows of both what is
    there, and `tables` of the caller below. MAE and RMSE are in `unit`. In the caller's words `backticks` mark names.
    """

    name: str
    purpose: str
    uses: tuple[str, ...]
    limits: tuple[str, ...]
    facts: dict[str, Any]
    metrics: dict[str, Any]
    pictures: tuple[Picture, ...]
    reproduce: tuple[str, ...]
    unit: str = SHARES
    tables: "tuple[Table, ...]" = ()


class Table(NamedTuple):
    """`header` and `rows` of text; the first column names the row. A `long` one is folded up where that is possible."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""
    long: bool = False


def write_card(folder: Path, card: Card) -> None:
    """Write `card.md`, `card.html` and `plots/<name>.png` into the folder of a version that is being made.

    To be called last: the card lists the hashes of the files that are there. `card.html` needs no other file.
    """
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.is_file()}
    for picture in card.pictures:
        (folder / PLOTS).mkdir(exist_ok=True)
        (folder / PLOTS / f"{picture.name}.png").write_bytes(picture.png)
    content = {
        "card": card,
        "headline": list(_headline(card)),
        "results": [*_results(card), *card.tables],
        "origins": list(_origins(card, files)),
    }
    environment = _environment()
    for name in ("card.md", "card.html"):
        text = environment.get_template(f"{name}.j2").render(content)
        (folder / name).write_text(text, encoding="utf-8")


def _headline(card: Card) -> Iterator[tuple[str, str]]:
    """The figures to be seen first, each with what it is."""
    metrics = card.metrics
    for baseline, skill in metrics["skill"].items():
        if baseline == card.facts.get("baseline", baseline):
            yield signed_percent(skill), f"skill against {baseline}"
    test = metrics["test"]
    yield percent(test["median_ape"]), "median error of a day" + (" with trading" if card.unit == SHARES else "")
    yield plain(test["mae"]), f"mean absolute error, {card.unit}"
    yield plain(test["rows"]), f"test rows, {test['from']} to {test['to']}"


def _results(card: Card) -> Iterator[Table]:
    metrics = card.metrics
    yield _comparison(metrics, card.unit)
    if interval := metrics.get("interval"):
        shares = {"all rows": interval["coverage"]} | interval.get("by_liquidity", {})
        note = f"The share of actual volumes inside the {percent(interval['nominal'])} prediction interval."
        yield Table(
            "Prediction interval", ("", "coverage"), [(label, percent(share)) for label, share in shares.items()], note
        )
    for key, title in SLICES.items():
        if slices := metrics.get("slices", {}).get(key):
            yield _scored(title, key, slices.items(), long=key == "letter")
    if folds := metrics.get("folds"):
        windows = ((f"{fold['from']} to {fold['to']}", fold) for fold in folds)
        yield _scored("Folds before the test window", "window", windows)


def _comparison(metrics: dict[str, Any], unit: str) -> Table:
    """The model and every baseline on the same rows."""
    measures = [name for name in MEASURES if name in metrics["test"]]
    header = ("", *(MEASURES[name][0] for name in measures), "skill of the model against it")
    rows = [("the model", *_scores(metrics["test"], measures), "")]
    for name, scores in metrics["baselines"].items():
        rows.append((name, *_scores(scores, measures), _skill(metrics, name)))
    note = (
        f"The model and the baselines on the same rows. MAE and RMSE are in {unit}, the skill is 1 - MAE / MAE of "
        "the baseline, with its 95 % interval where it was measured."
    )
    return Table("Against the baselines", header, rows, note)


def _skill(metrics: dict[str, Any], baseline: str) -> str:
    skill = signed_percent(metrics["skill"][baseline])
    interval = metrics.get("skill_interval", {}).get(baseline)
    return f"{skill} ({' to '.join(map(signed_percent, interval))})" if interval else skill


def _scored(title: str, first: str, scored: Iterable[tuple[str, dict[str, Any]]], long: bool = False) -> Table:
    """One row of scores for each label, with the skill against each baseline."""
    labelled = dict(scored)
    example = next(iter(labelled.values()))
    measures = [name for name in MEASURES if name in example]
    header = (
        first,
        "rows",
        *(MEASURES[name][0] for name in measures),
        *(f"skill, {name}" for name in example["skill"]),
    )
    rows = [
        (label, plain(facts["rows"]), *_scores(facts, measures), *map(signed_percent, facts["skill"].values()))
        for label, facts in labelled.items()
    ]
    return Table(title, header, rows, long=long)


def _scores(scores: Mapping[str, float], measures: Iterable[str]) -> tuple[str, ...]:
    return tuple(MEASURES[name][1](scores[name]) for name in measures)


def _origins(card: Card, files: dict[str, str]) -> Iterator[Table]:
    """What the model is made of, without what the manifest does not say."""
    facts = card.facts
    pairs: dict[str, Mapping[str, Any]] = {
        "Model": _named(facts, MODEL),
        "Data": _named(facts.get("data", {}), DATA),
        "Split": _named(card.metrics.get("split", {}), SPLIT),
        "Parameters": facts.get("parameters", {}),
        "Versions of libraries": facts.get("libraries", {}),
        "Files, by SHA-256": files,
    }
    for title, values in pairs.items():
        if values:
            yield Table(title, ("", ""), [(name, _text(value)) for name, value in values.items()])
        if title == "Data" and (ranges := facts.get("input_ranges")):
            header = ("input", *next(iter(ranges.values())))
            rows = [(name, *map(plain, values.values())) for name, values in ranges.items()]
            yield Table("Ranges of the inputs in the training rows", header, rows)


def _named(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {text: values[name] for name, text in names.items() if name in values}


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        return plain(value)
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value)


def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_eval_context, select_autoescape  # noqa: PLC0415
    from markupsafe import Markup, escape  # noqa: PLC0415

    @pass_eval_context
    def finish(context: "EvalContext", value: Any) -> Any:
        """HTML escapes by itself; in Markdown a text must neither begin a tag nor end a cell."""
        if context.autoescape or isinstance(value, Markup):
            return value
        text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
        return " ".join(text.split())

    def prose(text: str) -> Markup:
        return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just before

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(("html.j2",)),
        finalize=finish,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"prose": prose, "base64": base64.b64encode, "ascii": bytes.decode}
    return environment
