// Numbers and days as people read them, and elements made of them.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const cents = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const five = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 5 });
const three = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const weekday = new Intl.DateTimeFormat("en-GB", { weekday: "long", timeZone: "UTC" });
const minute = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
const UNITS = [[1e12, "T"], [1e9, "B"], [1e6, "M"]];

export const shares = (number) => whole.format(number);
export const dollars = (number) => (number === null ? "–" : `$${cents.format(number)}`);
export const price = (number) => (number === null ? "–" : five.format(number));
export const significant = (number) => (number === null || number === undefined ? "–" : three.format(number));
export const onDay = (iso) => day.format(new Date(`${iso}T00:00Z`));
export const weekdayOf = (iso) => weekday.format(new Date(`${iso}T00:00Z`));
export const atMinute = (iso) => `${minute.format(new Date(iso))} UTC`;
export const percent = (share, digits = 1) =>
  share === null || share === undefined ? "–" : `${(100 * share).toFixed(digits)} %`;
export const signed = (share, digits = 1) =>
  share === null || share === undefined ? "–" : `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(digits)} %`;

/** 1,234 or 58.5 M: short enough for a sentence. */
export function short(number) {
  const [unit, letter] = UNITS.find(([least]) => Math.abs(number) >= least * 0.9995) ?? [1, ""];
  return letter ? `${three.format(number / unit)} ${letter}` : whole.format(number);
}

/** What the service says of a problem, as a sentence. */
export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text, never markup. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.flat());
  return element;
}

/** A table of `rows` of cells (text, elements); the first cell names the row. `left` has columns that are words. */
export function table(header, rows, { left = [], ours = -1, caption } = {}) {
  const words = (place) => (left.includes(place) ? { class: "left" } : {});
  return make("table", {},
    caption ? make("caption", { class: "unseen" }, caption) : [],
    make("thead", {}, make("tr", {}, header.map((text, place) => make("th", { scope: "col", ...words(place) }, text)))),
    make("tbody", {}, rows.map(([first, ...rest], row) =>
      make("tr", row === ours ? { class: "ours" } : {},
        make("th", { scope: "row" }, first),
        rest.map((cell, place) => make("td", words(place + 1), cell))))));
}

export function definition(term, ...content) {
  return make("div", {}, make("dt", {}, term), make("dd", {}, ...content));
}

const NO_CHANGE = "about the same as";

/** "71 % more than", for a ratio less 1. */
export function against(change) {
  const size = Math.round(Math.abs(100 * change));
  if (size === 0) return NO_CHANGE;
  return change >= 3 ? `${(1 + change).toFixed(1)} times` : `${size} % ${change > 0 ? "more" : "less"} than`;
}
