// The form for the volume model: an answer as you type, and how it changes as one input moves.

import { VOLUME_TICKS, axis, clear, draw, logarithmic } from "./charts.js";
import { get, post } from "./service.js";
import { byId, make, sentence, shares, significant } from "./words.js";

const WAIT = 200;
const POINTS = 81;
const INPUTS = {
  vol_moving_avg: { words: "mean volume", least: 100, most: 1e8, limit: 1e15 },
  adj_close_rolling_med: { words: "median price", least: 0.1, most: 1000, limit: 1e300, tickprefix: "$" },
};
const fields = () => Object.keys(INPUTS).map(byId);
const moving = () => document.querySelector("#try-axis input:checked").value;
let timer = 0;
let running = null;

/** Listens to the form; nothing is asked before `answer` is called. */
export function startForm() {
  byId("try-form").addEventListener("submit", (event) => {
    event.preventDefault();
    answer();
  });
  byId("try-form").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(answer, WAIT);
  });
  byId("try-axis").addEventListener("change", () => answer());
}

/** Offer the inputs of a symbol's last day, or with null none. */
export function offer(symbol) {
  const button = byId("try-symbol");
  button.hidden = !symbol;
  button.textContent = `Take those of ${symbol}`;
  button.onclick = async () => {
    try {
      const { features } = await get(`predict/${encodeURIComponent(symbol)}`);
      for (const field of fields()) field.value = Number(features[field.name].toPrecision(6));
      answer();
    } catch (error) {
      refuse(sentence(error.message));
    }
  };
}

/** Ask for what is in the form. */
export async function answer() {
  clearTimeout(timer);
  running?.abort();
  const wrong = fields().filter((field) => !field.validity.valid);
  for (const field of fields()) field.setAttribute("aria-invalid", String(wrong.includes(field)));
  if (wrong.length) {
    refuse("Both are numbers of at least 0, the volume at most 1,000,000,000,000,000.");
    return;
  }
  running = new AbortController();
  const row = Object.fromEntries(fields().map((field) => [field.name, field.valueAsNumber]));
  const [name, options] = [moving(), { signal: running.signal }];
  const along = steps(row[name], INPUTS[name]);
  const columns = Object.fromEntries(Object.keys(INPUTS).map((input) =>
    [input, input === name ? along : along.map(() => row[input])]));
  try {
    const [one, curve] = await Promise.all([post("predict", { rows: [row] }, options), post("predict", columns, options)]);
    showAnswer(one);
    draw(byId("try-chart"), label(name, row, one), (colours) => picture(name, along, curve, row[name], one.predictions[0], colours));
  } catch (error) {
    if (error.name !== "AbortError") refuse(sentence(error.message));
  }
}

function refuse(text) {
  byId("try-answer").replaceChildren();
  byId("try-problem").textContent = text;
  clear(byId("try-chart"));
}

function showAnswer({ version, predictions: [{ volume, low, high, warnings }] }) {
  const between = low === null ? "This version gives no interval." : `In 8 of 10 cases between ${shares(low)} and ${shares(high)}.`;
  byId("try-problem").textContent = "";
  byId("try-answer").replaceChildren(
    make("b", {}, `${shares(volume)} `), "shares on that day",
    make("p", {}, between), ...warnings.map((warning) => make("p", { class: "warning" }, `Take care: ${warning}.`)),
    make("p", { class: "soft note" }, `version ${version}`));
}

const label = (name, row, { predictions: [{ volume }] }) =>
  `Predicted volume as the ${INPUTS[name].words} moves; at ${significant(row[name])} it is ${shares(volume)} shares`;

/** Values evenly spread on a logarithmic axis, the present one among them. */
function steps(value, { least, most, limit }) {
  const from = Math.log(Math.min(least, value > 0 ? value / 3 : least));
  const to = Math.log(Math.min(limit, Math.max(most, value * 3)));
  const along = Array.from({ length: POINTS }, (_, step) => Math.exp(from + ((to - from) * step) / (POINTS - 1)));
  return [...along, ...(value > 0 ? [value] : [])].map((at) => Math.min(at, limit)).sort((a, b) => a - b);
}

function picture(name, along, { predictions: { volume, low, high } }, at, one, colours) {
  const { words, tickprefix = "" } = INPUTS[name];
  const none = { width: 0 };
  const ofVolume = name === "vol_moving_avg";
  // A logarithmic axis has no 0.
  const seen = (values) => (ofVolume ? values.map((value) => (value > 0 ? value : null)) : values);
  const ends = low.every((value) => value === null) ? [] : [
    { x: along, y: ofVolume ? low.map((value) => Math.max(value, 1)) : low, mode: "lines", line: none, hoverinfo: "skip", showlegend: false, name: "" },
    { x: along, y: seen(high), mode: "lines", line: none, fill: "tonexty", fillcolor: colours.band, hoverinfo: "skip", name: "80 % interval" },
  ];
  return {
    data: [
      ...ends,
      { x: along, y: seen(volume), mode: "lines", name: "predicted volume", line: { color: colours.accent, width: 2 } },
      { x: [at], y: [one.volume], mode: "markers", name: "your input", hoverinfo: "skip", marker: { color: colours.accent, size: 11, line: { color: colours.paper, width: 2 } } },
    ],
    layout: {
      xaxis: logarithmic(colours, { tickprefix, hoverformat: ",.4~g", title: { text: words, standoff: 8 } }),
      yaxis: ofVolume ? logarithmic(colours, { hoverformat: ",.0f" }) : axis(colours, VOLUME_TICKS),
    },
  };
}
