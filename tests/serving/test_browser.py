"""The page and the reference in a real browser that can reach nothing but the service."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from stock_assets.settings import Settings
from tests.serving.browsing import CHROMIUM, PHONE, Visit, chromium
from tests.serving.conftest import QUESTION, Models
from tests.serving.small_market import publish_next_day_model, publish_next_prices, publish_tables, publish_volume_model
from tests.serving.test_process import serve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)"),
]

KEY = "a-key-of-sixteen-or-more"
NOT_FOUND = "Failed to load resource: the server responded with a status of 404 (Not Found)"
UNAUTHORIZED = "Failed to load resource: the server responded with a status of 401 (Unauthorized)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service over a whole small market."""
    models = Models(tmp_path_factory.mktemp("data"))
    _publish(models.data_dir)
    with serve(models) as url:
        yield url


@pytest.fixture
def visit(browser: Browser, url: str) -> Iterator[Visit]:
    """A tab that must not complain, nor ask another host."""
    visit = Visit(browser, url)
    yield visit
    assert visit.elsewhere() == set()
    assert visit.complaints == []
    visit.page.close()


def _publish(data_dir: Path) -> None:
    publish_tables(data_dir)
    publish_volume_model(data_dir)
    publish_next_day_model(data_dir)
    publish_next_prices(data_dir)


def test_the_reference_works_offline_and_tries_a_prediction(models: Models, browser: Browser) -> None:
    version, answer = models.publish()
    models.promote(version)
    with serve(models) as url:
        visit = Visit(browser, url)
        page = visit.open("/docs")
        page.get_by_text("/predict", exact=True).first.click()
        page.get_by_role("button", name="Try it out").click()
        for name, value in QUESTION.items():
            page.get_by_placeholder(name).fill(str(value))
        page.get_by_role("button", name="Execute").click()
        body = page.locator(".live-responses-table .response-col_description .microlight").first
        assert body.inner_text().strip() == str(answer)
        assert visit.elsewhere() == set()
        assert visit.complaints == []


def test_the_first_view_shows_the_symbol_with_the_largest_forecast(visit: Visit) -> None:
    page = visit.open()
    expect(page.get_by_role("heading", level=1)).to_have_text("ABLE Able & Sons <Holding>")
    visit.wait_for_charts()
    forecast = page.request.get(f"{visit.url}/forecast/ABLE").json()
    expect(page.locator("#figures dd").first).to_have_text(f"{forecast['forecast']:,}")
    expect(page.locator("#symbol-sentence")).to_contain_text("Wednesday, 1 Jul 2020")
    history = page.request.get(f"{visit.url}/symbols/ABLE/history?days=250").json()
    bars = page.locator("#volume-chart .trace.bars .point")
    assert bars.count() == len(history["days"]["date"]) == 250
    inside = sum(
        low <= came <= high
        for low, came, high in zip(*(history["backtest"][name] for name in ("low", "actual", "high")), strict=True)
    )
    share = round(100 * inside / len(history["backtest"]["date"]))
    expect(page.locator("#volume-note")).to_contain_text(f"{share} %")
    expect(page.locator("#price-chart .scatterlayer .trace")).to_have_count(1)
    # exp(0.3) - 1 and exp(-0.1) - 1, as the explanation was published
    why = page.locator("#why tbody tr")
    expect(why.nth(0)).to_have_text("volume of the last daylag_0 = 0.5+35.0 %")
    expect(why.nth(1)).to_contain_text("unheard of")
    expect(why.nth(1)).to_contain_text("9.5 %")
    expect(why.nth(2)).to_have_text("all other inputs together+0.0 %")
    expect(page.locator("#fresh")).to_have_text("4 symbolsup to 30 Jun 2020")


def test_a_search_by_keyboard_alone(visit: Visit) -> None:
    page = visit.open("/?symbol=ABC")
    expect(page.get_by_role("heading", level=1)).to_contain_text("ABC")
    box = page.get_by_role("combobox", name="Search a symbol or a name")
    page.keyboard.press("/")
    expect(box).to_be_focused()
    page.keyboard.type("a")
    options = page.locator("#search-list [role=option]")
    expect(options).to_have_text(["ABCAbacus Makers Inc.", "ABLEAble & Sons <Holding>", "ACE"])
    expect(box).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowUp")  # from the first one round to the last one
    marked = page.locator(f"#{box.get_attribute('aria-activedescendant')}")
    expect(marked).to_have_attribute("aria-selected", "true")
    expect(marked).to_have_text("ACE")
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    page.keyboard.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("ABLE")
    assert page.url.endswith("?symbol=ABLE")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_contain_text("ABC")
    visit.wait_for_charts()


def test_a_symbol_that_is_typed_and_entered_before_the_list_comes(visit: Visit) -> None:
    page = visit.open("/?symbol=ABLE")
    expect(page.get_by_role("heading", level=1)).to_contain_text("ABLE")
    page.keyboard.press("/")
    page.keyboard.type("ace")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("ACE ")
    expect(page.locator("#symbol-sentence")).to_contain_text("about 0 shares")
    visit.wait_for_charts()


def test_a_symbol_without_a_forecast_says_so(visit: Visit) -> None:
    page = visit.open("/?symbol=new")
    expect(page.get_by_role("heading", level=1)).to_contain_text("NEW Newcomer Ltd.")
    expect(page.locator("#symbol-sentence")).to_contain_text("There is no forecast for NEW")
    visit.wait_for_charts("volume-chart", "price-chart")
    visit.complaints = [text for text in visit.complaints if text != NOT_FOUND]  # its explanation


def test_a_symbol_that_does_not_exist_names_near_ones(visit: Visit) -> None:
    page = visit.open("/?symbol=ABD")
    expect(page.get_by_role("heading", level=1)).to_have_text("No symbol ABD")
    page.locator("#symbol-sentence").get_by_role("link", name="ABC", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("ABC")
    visit.wait_for_charts()
    assert set(visit.complaints) == {NOT_FOUND}
    visit.complaints.clear()


def test_the_form_answers_as_one_types(visit: Visit) -> None:
    page = visit.open()
    visit.wait_for_charts()
    page.get_by_label("Mean volume of 30 days").fill("2000000")
    page.get_by_label("Median adjusted close of 30 days").fill("500")
    asked = {"rows": [{"vol_moving_avg": 2_000_000, "adj_close_rolling_med": 500}]}
    answer = page.request.post(f"{visit.url}/predict", data=asked).json()
    (one,) = answer["predictions"]
    expect(page.locator("#try-answer b")).to_have_text(f"{one['volume']:,} ")
    expect(page.locator("#try-answer")).to_contain_text(f"between {one['low']:,} and {one['high']:,}")
    expect(page.locator("#try-answer .warning")).to_have_text(
        "Take care: vol_moving_avg is outside the range of training."
    )
    page.get_by_text("median price", exact=True).click()
    expect(page.locator("#try-chart .xtitle")).to_have_text("median price")
    page.get_by_label("Mean volume of 30 days").fill("-1")
    expect(page.locator("#try-problem")).to_contain_text("at least 0")
    page.get_by_role("button", name="Take those of ABLE").click()
    features = page.request.get(f"{visit.url}/predict/ABLE").json()["features"]
    assert float(page.locator("#vol_moving_avg").input_value()) == pytest.approx(features["vol_moving_avg"], rel=1e-5)
    expect(page.locator("#try-answer b")).to_be_visible()


def test_the_chart_shows_as_many_days_as_are_chosen(visit: Visit) -> None:
    page = visit.open("/?symbol=ABC")
    visit.wait_for_charts()
    page.get_by_text("3 months", exact=True).click()
    expect(page.locator("#volume-chart .trace.bars .point")).to_have_count(63)
    page.get_by_text("4 years", exact=True).click()
    expect(page.locator("#volume-chart .trace.bars .point")).to_have_count(300)


def test_the_page_goes_on_when_the_service_is_back(visit: Visit) -> None:
    visit.page.route("**/models", lambda route: route.abort())
    page = visit.open()
    expect(page.locator("#notice")).to_have_text("The service cannot be reached. The page tries again.")
    page.unroute("**/models")
    visit.wait_for_charts()
    expect(page.locator("#notice")).to_be_empty()
    assert set(visit.complaints) == {"Failed to load resource: net::ERR_FAILED"}
    visit.complaints.clear()


def test_the_list_of_forecasts_sorts_and_leads_to_symbols(visit: Visit) -> None:
    page = visit.open()
    visit.wait_for_charts()
    page.get_by_label("Show").select_option("-forecast")
    links = page.locator("#top-table tbody a")
    expect(links).to_have_text(["ABLE", "ABC", "ACE"])
    links.nth(1).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("ABC")
    visit.wait_for_charts()


def test_crypto_assets_are_shown_with_what_their_prediction_is_worth(visit: Visit) -> None:
    page = visit.open()
    visit.wait_for_charts("crypto-chart")
    crypto = page.locator("#crypto")
    expect(crypto.locator("#crypto-sentence")).to_have_text(
        "The model expects alder, which was at 449 on 30 Jun 2020, at 449.5 on Wednesday, 1 Jul 2020."
    )
    expect(crypto.locator("#crypto-worth")).to_have_class("warning")
    expect(crypto.locator("#crypto-worth")).to_contain_text("mean error was 2.600, that of today's price 2.500")
    crypto.get_by_label("Asset").select_option("beacon")
    expect(crypto.locator("#crypto-worth")).to_contain_text("saved 20.0 % (95 % interval +10.0 % to +30.0 %)")
    expect(crypto.locator("#crypto-worth")).not_to_have_class("warning")
    expect(crypto.locator("#crypto-figures dd")).to_have_text(["449.5 +0.11 %", "449", "70.5", "50 % (41 % to 59 %)"])
    expect(crypto.locator("#crypto-verdict")).to_have_text("All assets together: It does not beat it.")
    # 365 days shown; the first 280 of 400 were trained on, and the day after the last of these was predicted from it
    expect(page.locator("#crypto-chart .trace").nth(1).locator(".point")).to_have_count(400 - 281)
    models = page.get_by_role("article", name="next_price_model")
    expect(models).to_contain_text("No version so far is worth more than its baseline", ignore_case=True)
    found = Axe().run(page, context="#crypto").response["violations"]
    assert [one["id"] for one in found if one["impact"] in {"serious", "critical"}] == []


def test_the_models_are_shown_with_their_pictures_and_card(visit: Visit) -> None:
    page = visit.open()
    visit.wait_for_charts()
    volume = page.get_by_role("article", name="volume_model")
    expect(volume.locator("tbody").first).to_contain_text("+20.0 % (+15.0 % to +25.0 %)")
    picture = volume.get_by_role("img", name="error that each model saves")
    picture.scroll_into_view_if_needed()
    expect(picture).to_have_js_property("complete", value=True)
    assert picture.evaluate("image => image.naturalWidth") == 1
    volume.get_by_role("link", name="The whole card").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("volume_model")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [{"width": 1280, "height": 900}, PHONE], ids=["desktop", "phone"])
def test_nothing_serious_is_wrong_for_those_who_see_or_point_otherwise(
    browser: Browser, url: str, scheme: str, size: dict[str, int]
) -> None:
    visit = Visit(browser, url, color_scheme=scheme, viewport=size, reduced_motion="reduce")
    page = visit.open()
    visit.wait_for_charts()
    page.get_by_text("The last days in numbers").first.click()
    page.get_by_text("candidates that were compared").first.click()
    page.keyboard.press("/") if size is not PHONE else page.get_by_role("combobox", name="Search").focus()
    page.keyboard.type("a")
    expect(page.locator("#search-list [role=option]").first).to_be_visible()
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in {"serious", "critical"}] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert (visit.elsewhere(), visit.complaints) == (set(), [])
    page.close()


def test_the_charts_follow_the_colour_scheme(visit: Visit) -> None:
    page = visit.open()
    visit.wait_for_charts()
    grid = page.locator("#price-chart .ygrid").first
    colours = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_selector(f"#price-chart[data-drawn={scheme}]")
        colours.append(grid.evaluate("line => getComputedStyle(line).stroke"))
    assert colours == ["rgb(223, 227, 232)", "rgb(52, 59, 71)"]


def test_before_the_first_run_the_page_says_what_to_do_and_recovers_by_itself(models: Models, browser: Browser) -> None:
    with serve(models) as url:
        visit = Visit(browser, url)
        page = visit.open()
        expect(page.locator("#notice")).to_contain_text(
            "No volume_model has been promoted; run the pipeline (make run)"
        )
        for part in ("#symbol", "#top", "#try", "#search", "#crypto"):
            expect(page.locator(part)).to_be_hidden()
        _publish(models.data_dir)
        visit.wait_for_charts()
        expect(page.locator("#notice")).to_be_empty()
        expect(page.locator("#top-table tbody tr")).to_have_count(3)
        assert (visit.elsewhere(), visit.complaints) == (set(), [])


class _WithKey(Models):
    def settings(self) -> Settings:
        return Settings(data_dir=self.data_dir, api_keys=KEY)


def test_where_keys_are_asked_for_the_page_asks_too_and_keeps_the_key(models: Models, browser: Browser) -> None:
    guarded = _WithKey(models.data_dir)
    _publish(guarded.data_dir)
    with serve(guarded) as url:
        visit = Visit(browser, url)
        page = visit.open()
        box = page.get_by_label("API key")
        box.fill("a wrong one, and long enough")
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#key-problem")).to_have_text("The service does not know that key.")
        box.fill(KEY)
        box.press("Enter")
        visit.wait_for_charts()
        picture = page.locator("#models img").first
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_attribute("src", re.compile("^blob:"))
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the whole card").first.click()
        assert "<h1>volume_model</h1>" in download.value.path().read_text()
        page.reload()
        visit.wait_for_charts()
        expect(page.locator("dialog[open]")).to_have_count(0)
        assert set(visit.complaints) == {UNAUTHORIZED}
        assert visit.elsewhere() == set()
