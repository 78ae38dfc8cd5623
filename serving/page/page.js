// Puts the page together: what is fresh, the symbol in the address, the lists; and follows what is published.

import { plotly } from "./charts.js";
import { isInUse, nextPrices, showCrypto, startCrypto } from "./crypto.js";
import { startSearch } from "./search.js";
import { get } from "./service.js";
import { showSymbol } from "./symbol.js";
import { answer, offer, startForm } from "./tryit.js";
import { showModels } from "./models.js";
import { atMinute, byId, definition, make, onDay, sentence, shares, short, signed, table } from "./words.js";

const SOON = 3_000;
const LATER = 30_000;
const NEVER = 2 ** 31 - 1;
const TOP = 10;
let seen = null;
let shown = null;

const asked = () => new URLSearchParams(location.search).get("symbol") || null;

/** Show a symbol and make it part of the address. */
function open(symbol) {
  if (symbol !== asked()) history.pushState(null, "", `?symbol=${encodeURIComponent(symbol)}`);
  scrollTo({ top: 0 });
  show(symbol);
}

async function show(symbol) {
  shown = symbol;
  const found = await showSymbol(symbol);
  if (shown !== symbol) return;
  offer(found?.days.vol_moving_avg.at(-1) ? found.symbol : null);
}

/** Look at what is published, and show anew what has changed since; gives when to look again. */
async function follow() {
  let summary;
  let models;
  let prices;
  try {
    [summary, { models }] = await Promise.all([get("./"), get("models")]);
    models = models.filter(isInUse);
    prices = await nextPrices(models);
  } catch (error) {
    seen = null; // whatever failed meanwhile is shown anew
    notice(`${sentence(error.message)} The page tries again.`);
    return error.status === 401 ? NEVER : SOON;
  }
  const state = JSON.stringify([summary, models, prices]);
  if (state !== seen) {
    seen = state;
    showFreshness(summary, models);
    // The symbol's charts are drawn before those that are further down.
    const below = () => Promise.all([showForm(summary), showCrypto(prices)]);
    await Promise.all([showMarket(summary).finally(below), showModels({ models })]);
  }
  return summary.version && summary.symbols ? LATER : SOON;
}

async function showMarket({ symbols }) {
  for (const id of ["search", "symbol", "top"]) byId(id).hidden = !symbols;
  if (!symbols) return;
  await Promise.all([show(asked() ?? await first()), showTop()]);
}

/** The symbol of whom the most is expected; without forecasts the first there is. */
async function first() {
  const { forecasts } = await get("forecasts?top=1&sort=-forecast").catch(() => ({ forecasts: [] }));
  return forecasts[0]?.symbol ?? (await get("symbols?limit=1"))[0]?.symbol;
}

async function showTop() {
  const place = byId("top-table");
  try {
    const { forecasts } = await get(`forecasts?top=${TOP}&sort=${byId("top-sort").value}`);
    const header = ["symbol", "name", "forecast", "80 % interval", "mean of 20 days", "against it", "for"];
    place.replaceChildren(table(header, forecasts.map((one) => [
      make("a", { href: `?symbol=${encodeURIComponent(one.symbol)}`, "data-symbol": one.symbol }, one.symbol), one.name ?? "",
      shares(one.forecast), `${short(one.low)} – ${short(one.high)}`, shares(one.baselines.mean_20), signed(one.change), onDay(one.forecast_for) + (one.status === "stale" ? " (stale)" : ""),
    ]), { left: [1] }));
  } catch (error) {
    place.replaceChildren(make("p", { class: "soft" }, sentence(error.message)));
  }
}

function showForm({ version }) {
  byId("try").hidden = !version;
  return version ? answer() : null;
}

function showFreshness(summary, models) {
  const { version, newest_day: newest, symbols, problem, data_version: data, source } = summary;
  byId("fresh").replaceChildren(...(newest ? [`${shares(symbols)} symbols`, make("br"), `up to ${onDay(newest)}`] : []));
  if (!version || !symbols) notice(sentence(problem ?? "the tables are not published yet"), "make run");
  else byId("notice").replaceChildren();
  byId("facts").replaceChildren(
    ...(newest ? [definition("newest day", onDay(newest)), definition("data", `${data ?? "unknown"}${source ? ` (${source})` : ""}`)] : []),
    ...models.map((model) => definition(model.name, model.version
      ? `${model.version}, promoted ${atMinute(model.promoted_at)}` : model.problem)));
}

function notice(text, command) {
  byId("notice").replaceChildren(make("div", { class: "notice" }, make("p", {}, make("strong", {}, text)),
    ...(command ? [make("p", {}, make("code", {}, command), " reads prices, trains the models and publishes both. This page goes on by itself when it is done.")] : [])));
}

async function followFor() {
  for (;;) {
    const wait = await follow().catch((error) => {
      seen = null;
      notice(sentence(error.message));
      return LATER;
    });
    await new Promise((resolve) => { setTimeout(resolve, wait); });
    if (document.hidden) await new Promise((resolve) => { document.addEventListener("visibilitychange", resolve, { once: true }); });
  }
}

startSearch(open);
startForm();
startCrypto();
byId("span").addEventListener("change", () => shown && showSymbol(shown));
byId("top-sort").addEventListener("change", showTop);
if (matchMedia("(max-width: 44rem)").matches) document.querySelector("#span input[value='63']").checked = true;
addEventListener("popstate", async () => show(asked() ?? await first()));
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-symbol]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  open(link.dataset.symbol);
});
followFor();
// Behind the first content, and while the data are on their way.
requestAnimationFrame(() => setTimeout(() => plotly().catch(() => null)));
