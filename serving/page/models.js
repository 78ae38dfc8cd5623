// What each model is worth: its errors beside those of its baselines, the candidates, and the pictures of its card.

import { addressOf, get, hasKey } from "./service.js";
import { atMinute, byId, make, onDay, percent, sentence, shares, signed, table } from "./words.js";

const BASELINES = {
  vol_moving_avg: "the mean of 30 days itself", last: "the last volume again", mean_5: "mean of 5 days", mean_20: "mean of 20 days",
  mean_30: "mean of 30 days", ewma: "exponentially weighted mean", har: "regression on means (HAR)",
  random_walk: "“tomorrow’s price is today’s”",
};
const PICTURES = {
  predicted_against_actual: "Predicted against actual volumes of the test window",
  skill_by_model: "The share of the baseline’s error that each model saves",
  error_by_liquidity: "The error by how much the symbols trade",
  interval_calibration: "How many actual volumes are inside the interval, by how much the symbols trade",
  feature_importance: "The inputs that the model uses most",
  input_drift: "How far the inputs have moved since training",
};
/** What a model's mean errors are counted in, and how they are written. */
const UNITS = { next_price_model: ["of the mean price", (share) => percent(share, 2)] };
const SHARES = ["shares", shares];
const ORDER = Object.keys(PICTURES);

/** Fill the section from the answer of `GET /models`. */
export async function showModels({ models }) {
  const articles = await Promise.all(models.map(async (model) => {
    if (!model.version) return article(model, [make("p", { class: "soft" }, sentence(model.problem))]);
    const { listed } = await get(`models/${encodeURIComponent(model.name)}`);
    return article(model, await content(model, listed.find(({ version }) => version === model.version)));
  }));
  byId("models-list").replaceChildren(...articles);
}

function article(model, parts) {
  const id = `model-${model.name}`;
  return make("article", { "aria-labelledby": id },
    make("h3", { id }, model.name), make("p", { class: "soft" }, model.predicts), ...parts);
}

async function content(model, version) {
  if (!version || version.problem) return [make("p", { class: "warning" }, sentence(version?.problem ?? "nothing is known of this version"))];
  const { test, baselines, skill, skill_interval: intervals, interval, candidates } = version.metrics;
  const [unit, write] = UNITS[model.name] ?? SHARES;
  const errors = ({ mae, median_ape: median, wape }) => [mae === null ? "–" : write(mae), percent(median), percent(wape)];
  const parts = [];
  if (model.problem) parts.push(make("p", { class: "warning" }, sentence(model.problem)));
  parts.push(make("p", {}, worth(model, version)));
  if (test) {
    const rows = [["this model", ...errors(test), ""],
      ...Object.entries(baselines).map(([name, scores]) => [BASELINES[name] ?? name, ...errors(scores), saved(skill[name], intervals[name])])];
    const header = ["", `mean error, ${unit}`, "median error", "error of all volume", "the model saves"];
    parts.push(wide(`Errors of ${model.name} and its baselines`, table(header, rows, { ours: 0 })));
  }
  if (interval) {
    parts.push(make("p", { class: "soft" }, `Its ${percent(interval.nominal, 0)} interval held ${percent(interval.coverage)} of the test rows.`));
  }
  if (Object.keys(candidates).length) parts.push(candidatesOf(version, candidates, write));
  parts.push(await pictures(model, version), await card(model, version));
  return parts;
}

function worth({ name, baseline, skill, promoted_at: at }, { version, metrics: { test } }) {
  const window = test?.from ? ` on ${shares(test.rows)} rows from ${onDay(test.from)} to ${onDay(test.to)} that it had not seen` : "";
  const saves = skill === null ? "Its manifest does not say what it is worth" : `It saves ${percent(skill)} of the error of ${BASELINES[baseline] ?? baseline}${window}`;
  return `${saves}. Version ${version}${at ? `, promoted ${atMinute(at)}` : ""}.`;
}

const saved = (skill, interval) =>
  `${signed(skill)}${interval ? ` (${signed(interval[0])} to ${signed(interval[1])})` : ""}`;

function wide(label, content) {
  return make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": label }, content);
}

function candidatesOf({ candidate, baseline }, candidates, write) {
  const ranked = Object.entries(candidates).sort(([, one], [, other]) => one.validation_mae - other.validation_mae);
  const rows = ranked.map(([name, found]) => [
    name.replaceAll("_", " "), found.validation_mae === null ? "–" : write(found.validation_mae), found.mae === null ? "–" : write(found.mae),
    saved(found.skill[baseline], found.skill_interval[baseline]), found.servable === null ? "–" : found.servable ? "yes" : "no",
  ]);
  const header = ["candidate", "error on validation", "error on test", "saves", "can be served"];
  return make("details", {}, make("summary", {}, `The ${rows.length} candidates that were compared`),
    wide("Candidates", table(header, rows, { ours: ranked.findIndex(([name]) => name === candidate) })));
}

async function pictures({ name }, { version, plots }) {
  const rank = (plot) => (ORDER.includes(plot) ? ORDER.indexOf(plot) : ORDER.length);
  const items = await Promise.all([...plots].sort((one, other) => rank(one) - rank(other)).map(async (plot) => {
    const address = await addressOf(`models/${encodeURIComponent(name)}/plots/${plot}.png?version=${version}`);
    const alt = PICTURES[plot] ?? plot.replaceAll("_", " ");
    const image = make("img", { src: address, alt, loading: "lazy", width: "900", height: "520" });
    return make("li", {}, make("a", { href: address }, image));
  }));
  return make("ul", { class: "plots" }, items);
}

/** With a key a link cannot show the card, for it sends none: then it is a download. */
async function card({ name }, { version, card: there }) {
  if (!there) return "";
  const address = await addressOf(`models/${encodeURIComponent(name)}/card?version=${version}`);
  const link = make("a", { href: address }, hasKey() ? "Download the whole card" : "The whole card");
  if (hasKey()) link.download = `${name}-${version}.html`;
  return make("p", {}, link, ": what it is for, where it errs, and what it is made of");
}
