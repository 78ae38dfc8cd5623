// One symbol: the forecast in words and figures, its charts, and why.

import { VOLUME_TICKS, axis, clear, draw } from "./charts.js";
import { inWords } from "./inputs.js";
import { Refusal, get } from "./service.js";
import { against, byId, definition, dollars, make, onDay, percent, sentence, shares, short, signed, significant, table, weekdayOf } from "./words.js";

const STRONGEST = 6;
const LAST_DAYS = 10;
const DAY = "%a %-d %b %Y";
let running = null;

export const spanNow = () => document.querySelector("#span input:checked").value;

/** Show a symbol; gives its history, or null where another one was asked for meanwhile or there is none. */
export async function showSymbol(symbol) {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const section = byId("symbol");
  section.setAttribute("aria-busy", "true");
  const address = encodeURIComponent(symbol);
  const why = get(`explain/${address}?top=${STRONGEST}`, { signal }).catch((error) => error);
  try {
    const history = await get(`symbols/${address}/history?days=${spanNow()}`, { signal });
    showHistory(history);
    showWhy(await why, history);
    return history;
  } catch (error) {
    if (error.name === "AbortError") return null;
    if (!(error instanceof Refusal)) throw error;
    showMissing(symbol, error);
    return null;
  } finally {
    if (!signal.aborted) section.removeAttribute("aria-busy");
  }
}

function showHistory(history) {
  const { symbol, name } = history;
  document.title = `${symbol}: volume`;
  byId("symbol-title").replaceChildren(symbol, " ", make("span", { class: "soft" }, name ?? ""));
  byId("symbol-sentence").replaceChildren(...forecastInWords(history));
  byId("symbol-body").hidden = false;
  byId("figures").replaceChildren(...figures(history));
  byId("days").querySelector("div").replaceChildren(lastDays(history));
  const { inside, count } = held(history.backtest);
  byId("volume-note").textContent = count
    ? `Of the ${shares(count)} back-tested days shown, ${percent(inside / count, 0)} ended inside the 80 % interval that was given the day before.`
    : "No back-test covers these days.";
  draw(byId("volume-chart"), volumeLabel(history), (colours) => volumePicture(history, colours));
  draw(byId("price-chart"), priceLabel(history), (colours) => pricePicture(history, colours));
}

function showMissing(symbol, error) {
  document.title = "Stock volume predictions";
  byId("symbol-title").textContent = error.status === 404 ? `No symbol ${symbol}` : symbol;
  byId("symbol-body").hidden = true;
  for (const id of ["volume-chart", "price-chart"]) clear(byId(id));
  const near = error.body?.near ?? [];
  const links = near.flatMap((found) => [
    make("a", { href: `?symbol=${encodeURIComponent(found.symbol)}`, "data-symbol": found.symbol }, found.symbol),
    ` ${found.name ?? ""}`, make("br"),
  ]);
  byId("symbol-sentence").replaceChildren(
    ...(near.length ? ["Perhaps one of these is meant:", make("br"), ...links] : [sentence(error.message)]));
}

function forecastInWords({ symbol, days, forecast }) {
  if (!forecast) return [`There is no forecast for ${symbol}: it has too few trading days, or the last one is long ago.`];
  const { forecast: volume, low, high, baselines, forecast_for: when, status, stale_days: stale } = forecast;
  const usual = baselines.mean_20;
  const compared = usual ? `, ${against(volume / usual - 1)} the mean of its last 20 days (${short(usual)})` : "";
  const late = status === "stale"
    ? ` Its prices end on ${onDay(days.date.at(-1))}, ${stale} days before the newest of the others.` : "";
  return [
    `On ${weekdayOf(when)}, ${onDay(when)}, about `, make("strong", {}, `${short(volume)} shares`),
    ` of ${symbol} are expected to change hands${compared}. In 8 of 10 cases it should be between ${short(low)} and ${short(high)}.${late}`,
  ];
}

function figures({ days, forecast }) {
  const last = days.volume.at(-1);
  const first = forecast
    ? [
        definition(`forecast for ${onDay(forecast.forecast_for)}`, shares(forecast.forecast)),
        definition("80 % interval", `${short(forecast.low)} – ${short(forecast.high)}`),
      ]
    : [];
  const [close, before] = [days.close.at(-1), days.close.at(-2)];
  const move = close && before ? make("small", {}, ` ${signed(close / before - 1)}`) : "";
  return [
    ...first,
    definition(`volume on ${onDay(days.date.at(-1))}`, shares(last)),
    definition("adjusted close", dollars(close), move),
  ];
}

function lastDays({ days, backtest }) {
  const forecast = new Map(backtest.date.map((date, place) => [date, place]));
  const rows = days.date.map((date, place) => {
    const told = forecast.get(date);
    return [
      onDay(date), dollars(days.close[place]), shares(days.volume[place]),
      days.vol_moving_avg[place] === null ? "–" : shares(days.vol_moving_avg[place]),
      told === undefined ? "–" : shares(backtest.forecast[told]),
      told === undefined ? "–" : `${shares(backtest.low[told])} – ${shares(backtest.high[told])}`,
    ];
  });
  const header = ["day", "adjusted close", "volume", "mean of 30 days", "forecast the day before", "80 % interval"];
  return table(header, rows.slice(-LAST_DAYS).reverse());
}

function held({ low, high, actual }) {
  const inside = actual.filter((volume, place) => low[place] <= volume && volume <= high[place]).length;
  return { inside, count: actual.length };
}

const volumeLabel = ({ symbol, days, forecast }) =>
  `Volume of ${symbol} from ${onDay(days.date[0])} to ${onDay(days.date.at(-1))}, its mean of 30 days and the back-test` +
  (forecast ? `, and the forecast of ${short(forecast.forecast)} for ${onDay(forecast.forecast_for)}` : "");

const priceLabel = ({ symbol, days }) =>
  `Adjusted close of ${symbol}, ${dollars(days.close[0])} on ${onDay(days.date[0])} and ${dollars(days.close.at(-1))} on ${onDay(days.date.at(-1))}`;

const dayAfter = (iso, days) => new Date(Date.parse(iso) + days * 86_400_000).toISOString().slice(0, 10);

function volumePicture({ days, backtest, forecast }, colours) {
  const line = { color: colours.accent, width: 1.5 };
  const data = [
    { type: "bar", name: "volume", x: days.date, y: days.volume, marker: { color: colours.bar } },
    { name: "", x: backtest.date, y: backtest.low, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false },
    { name: "80 % interval", x: backtest.date, y: backtest.high, mode: "lines", line: { width: 0 }, fill: "tonexty", fillcolor: colours.band, hoverinfo: "skip" },
    {
      name: "forecast", x: backtest.date, y: backtest.forecast, mode: "lines", line,
      customdata: backtest.low.map((low, place) => [low, backtest.high[place]]),
      hovertemplate: "%{y:,.0f} (%{customdata[0]:,.0f} to %{customdata[1]:,.0f})",
    },
    { name: "30-day mean", x: days.date, y: days.vol_moving_avg, mode: "lines", line: { color: colours.soft, width: 1.5, dash: "dot" } },
  ];
  // An interval may reach far beyond anything that came; it is cut rather than let squash the rest.
  let top = Math.max(1, ...days.volume, ...backtest.forecast);
  if (forecast) {
    top = Math.max(top, forecast.high);
    data.push({
      name: "next day", x: [forecast.forecast_for], y: [forecast.forecast], mode: "markers",
      marker: { color: colours.accent, size: 9, line: { color: colours.paper, width: 1.5 } },
      error_y: { type: "data", symmetric: false, array: [forecast.high - forecast.forecast], arrayminus: [forecast.forecast - forecast.low], color: colours.accent, thickness: 2, width: 5 },
    });
  }
  return {
    data,
    layout: {
      bargap: 0.25,
      xaxis: axis(colours, { type: "date", showgrid: false, hoverformat: DAY, range: [dayAfter(days.date[0], -1), dayAfter(forecast?.forecast_for ?? days.date.at(-1), 2)] }),
      yaxis: axis(colours, { ...VOLUME_TICKS, range: [0, top * 1.05] }),
    },
  };
}

function pricePicture({ days }, colours) {
  return {
    data: [{ name: "adjusted close", x: days.date, y: days.close, mode: "lines", line: { color: colours.accent, width: 1.75 } }],
    layout: {
      showlegend: false,
      margin: { l: 48, r: 8, t: 8, b: 32 },
      xaxis: axis(colours, { type: "date", showgrid: false, hoverformat: DAY }),
      yaxis: axis(colours, { tickprefix: "$", hoverformat: ",.2f" }),
    },
  };
}

/** What each input did, as factors of the forecast: they multiply from the symbol's level to the forecast. */
function showWhy(explanation, { forecast }) {
  const place = byId("why");
  if (explanation instanceof Error) {
    if (explanation.name !== "AbortError") {
      place.replaceChildren(make("p", { class: "soft" }, forecast ? sentence(explanation.message) : "Without a forecast there is nothing to explain."));
    }
    return;
  }
  const { contributions, level, forecast: volume, others } = explanation;
  const rest = Math.log(others);
  const most = Math.max(Math.abs(rest), ...contributions.map(({ contribution }) => Math.abs(contribution)));
  const rows = contributions.map(({ input, value, contribution }) => [
    make("span", {}, inWords(input), make("br"), make("code", {}, `${input} = ${significant(value)}`)),
    bar(contribution, most), signed(Math.exp(contribution) - 1),
  ]);
  rows.push(["all other inputs together", bar(rest, most), signed(Math.exp(rest) - 1)]);
  place.replaceChildren(
    make("p", { class: "soft" }, `From ${short(level)} shares, the symbol’s usual level, to ${short(volume)}: each input raises or lowers the forecast by so much.`),
    table(["input", "less · more", "effect"], rows));
}

function bar(contribution, most) {
  const fill = make("i", contribution < 0 ? { class: "down" } : {});
  const width = most ? (50 * Math.abs(contribution)) / most : 0;
  fill.style.width = `${width}%`;
  fill.style[contribution < 0 ? "right" : "left"] = "50%";
  return make("span", { class: "bar" }, fill);
}
