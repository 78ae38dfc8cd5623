// Crypto assets: the price that is predicted of the next day, and whether that says more than today's price does.

import { axis, draw } from "./charts.js";
import { get } from "./service.js";
import { byId, definition, make, onDay, percent, price, sentence, signed, significant, weekdayOf } from "./words.js";

const DAYS = 365;
const MODEL = "next_price_model";

/** Not everybody has crypto assets: without a version of their model they are not spoken of. */
export const isInUse = ({ name, versions }) => name !== MODEL || versions > 0;

/** The answer of `GET /next-prices`, or null where there is none yet. */
export async function nextPrices(models) {
  if (!models.some(({ name }) => name === MODEL)) return null;
  return get("next-prices").catch((error) => {
    if (error.status === 503) return null;
    throw error;
  });
}

/** Fill the section, or hide it; the asset that was chosen stays. */
export async function showCrypto(prices) {
  byId("crypto").hidden = !prices?.assets.length;
  if (!prices?.assets.length) return;
  const choice = byId("crypto-asset");
  const before = choice.value;
  const names = prices.assets.map(({ asset }) => asset);
  choice.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
  choice.value = names.includes(before) ? before : names[0];
  byId("crypto-choice").hidden = names.length === 1;
  byId("crypto-verdict").textContent = `${names.length > 1 ? "All assets together: " : ""}${prices.verdict}`;
  await showAsset();
}

export function startCrypto() {
  byId("crypto-asset").addEventListener("change", showAsset);
}

async function showAsset() {
  const asset = byId("crypto-asset").value;
  let history;
  try {
    history = await get(`next-price/${encodeURIComponent(asset)}/history?days=${DAYS}`);
  } catch (error) {
    byId("crypto-sentence").textContent = sentence(error.message);
    return;
  }
  if (asset !== byId("crypto-asset").value) return;
  const { forecast } = history;
  byId("crypto-sentence").replaceChildren(...inWords(forecast));
  byId("crypto-worth").textContent = forecast.note;
  byId("crypto-worth").className = forecast.beats_random_walk ? "" : "warning";
  byId("crypto-figures").replaceChildren(...figures(forecast));
  byId("crypto-note").textContent = note(history);
  draw(byId("crypto-chart"), label(history), (colours) => picture(history, colours));
}

function inWords({ asset, price: now, prediction, as_of: day, forecast_for: when, source }) {
  const generated = source === "demo" ? " These prices are generated." : "";
  const today = `${asset}, which was at ${price(now)} on ${onDay(day)}`;
  if (prediction === null) return [`There is no prediction of ${today}.${generated}`];
  return [
    `The model expects ${today}, at `, make("strong", {}, price(prediction)), ` on ${weekdayOf(when)}, ${onDay(when)}.${generated}`,
  ];
}

function figures({ price: now, prediction, rsi, direction, as_of: day, forecast_for: when }) {
  const change = prediction === null ? "" : make("small", {}, ` ${signed(prediction / now - 1, 2)}`);
  const told = direction ? make("small", {}, ` (${percent(direction.low, 0)} to ${percent(direction.high, 0)})`) : "";
  return [
    definition(`predicted for ${onDay(when)}`, price(prediction), change),
    definition(`price on ${onDay(day)}`, price(now)),
    definition("RSI of 14 days", significant(rsi)),
    definition("days whose direction it told", percent(direction?.share, 0), told),
  ];
}

function note({ days }) {
  const unseen = days.prediction.filter((value, place) => value !== null && !days.trained_on[place]).length;
  return unseen
    ? "The dots are what was predicted the day before, on days that the model was not trained on."
    : "The model was trained on these days, so that its predictions of them are not shown.";
}

const label = ({ asset, days, forecast }) =>
  `Price of ${asset}, ${price(days.price[0])} on ${onDay(days.date[0])} and ${price(days.price.at(-1))} on ${onDay(days.date.at(-1))}` +
  (forecast.prediction === null ? "" : `, predicted ${price(forecast.prediction)} for ${onDay(forecast.forecast_for)}`);

function picture({ days, forecast }, colours) {
  const unseen = days.prediction.map((value, place) => (days.trained_on[place] ? null : value));
  return {
    data: [
      { name: "price", x: days.date, y: days.price, mode: "lines", line: { color: colours.accent, width: 1.75 } },
      { name: "predicted the day before", x: days.date, y: unseen, mode: "markers", marker: { color: colours.soft, size: 3.5 } },
      {
        name: "next day", x: [forecast.forecast_for], y: [forecast.prediction], mode: "markers",
        marker: { color: colours.accent, size: 9, line: { color: colours.paper, width: 1.5 } },
      },
    ],
    layout: {
      xaxis: axis(colours, { type: "date", showgrid: false, hoverformat: "%a %-d %b %Y" }),
      yaxis: axis(colours, { hoverformat: ",.5~g" }),
    },
  };
}
