// The charts, drawn by plotly. It is 4.8 MB, so it is asked for when the page has its first content.

const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map();
let loading = null;

/** Plotly, asked for once. */
export function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.querySelector("meta[name=plotly]").content;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      loading = null;
      reject(new Error("plotly did not arrive"));
    };
    document.head.append(script);
  });
  return loading;
}

/** Draw into an element, and again when the colours change. `picture(colours)` gives `{data, layout}`. */
export async function draw(element, label, picture) {
  drawn.set(element, picture);
  element.setAttribute("aria-label", label);
  try {
    await paint(element, await plotly());
  } catch {
    element.textContent = "The chart could not be loaded.";
  }
}

export function clear(element) {
  drawn.delete(element);
  if (element.classList.contains("js-plotly-plot")) window.Plotly.purge(element);
  element.replaceChildren();
  delete element.dataset.drawn;
}

async function paint(element, library) {
  const picture = drawn.get(element);
  if (!picture) return;
  const colours = coloursNow();
  const { data, layout } = picture(colours);
  if (!element.classList.contains("js-plotly-plot")) element.replaceChildren();
  await library.react(element, data, { ...common(colours, element), ...layout }, { displayModeBar: false, responsive: true });
  element.dataset.drawn = dark.matches ? "dark" : "light";
}

dark.addEventListener("change", async () => {
  const library = await plotly();
  for (const element of drawn.keys()) await paint(element, library);
});

function coloursNow() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "soft", "line", "paper", "raised", "accent", "bar", "band"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function common(colours, element) {
  return {
    autosize: true,
    margin: { l: 48, r: 8, t: 28, b: 32 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colours.soft },
    hovermode: "x unified",
    hoverlabel: { bgcolor: colours.raised, bordercolor: colours.line, font: { color: colours.ink } },
    legend: { orientation: "h", traceorder: "normal", x: 0, y: 1.02, yanchor: "bottom", font: { size: element.clientWidth < 480 ? 11 : 12 } },
    dragmode: false,
  };
}

/** An axis with quiet lines; `more` is plotly's own. */
export function axis(colours, more = {}) {
  return {
    gridcolor: colours.line, zeroline: false, linecolor: colours.line, tickcolor: colours.line, fixedrange: true,
    automargin: true, ...more,
  };
}

/** 100k, 10M, 2B. */
export const VOLUME_TICKS = { exponentformat: "B", hoverformat: ",.0f", rangemode: "tozero" };

/** A logarithmic axis with a tick at each power of ten: 0.1, 100, 10k, 1M. */
export function logarithmic(colours, more = {}) {
  const powers = Array.from({ length: 18 }, (_, place) => place - 2);
  const text = powers.map((power) => {
    const unit = Math.max(0, Math.min(4, Math.floor(power / 3)));
    return `${more.tickprefix ?? ""}${10 ** (power - 3 * unit)}${["", "k", "M", "B", "T"][unit]}`;
  });
  return axis(colours, { type: "log", tickvals: powers.map((power) => 10 ** power), ticktext: text, ...more });
}
