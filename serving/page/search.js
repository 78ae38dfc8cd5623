// The search box: a combobox with a list, as the ARIA authoring practices describe it.

import { get } from "./service.js";
import { byId, make } from "./words.js";

const WAIT = 120;
const LIMIT = 12;

/** Calls `choose(symbol)` for what is picked, or for what was typed where nothing is. */
export function startSearch(choose) {
  const box = byId("search-box");
  const list = byId("search-list");
  let found = [];
  let listed = "";
  let at = -1;
  let timer = 0;
  let running = null;

  function show(symbols, typed) {
    [found, listed] = [symbols, typed];
    list.replaceChildren(...symbols.map(({ symbol, name }, place) =>
      make("li", { role: "option", id: `found-${place}`, "aria-selected": "false" },
        symbol, make("span", {}, name ?? ""))));
    if (!symbols.length) {
      list.replaceChildren(make("li", { class: "none", role: "option", "aria-disabled": "true" }, `Nothing is called “${typed}”.`));
    }
    list.hidden = false;
    box.setAttribute("aria-expanded", "true");
    mark(symbols.length ? 0 : -1);
  }

  function close() {
    clearTimeout(timer);
    running?.abort();
    list.hidden = true;
    box.setAttribute("aria-expanded", "false");
    mark(-1);
  }

  function mark(place) {
    list.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    at = place;
    const option = list.children[place];
    if (place < 0 || !option) {
      box.removeAttribute("aria-activedescendant");
      return;
    }
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    box.setAttribute("aria-activedescendant", option.id);
  }

  function pick(symbol) {
    close();
    box.value = "";
    box.blur();
    choose(symbol);
  }

  async function search() {
    const typed = box.value.trim();
    running?.abort();
    if (!typed) {
      close();
      return;
    }
    running = new AbortController();
    try {
      const address = `symbols?limit=${LIMIT}&q=${encodeURIComponent(typed)}`;
      show(await get(address, { signal: running.signal }), typed);
    } catch (error) {
      if (error.name !== "AbortError") close();
    }
  }

  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, WAIT);
  });
  box.addEventListener("blur", close);
  box.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (list.hidden) search();
      else if (found.length) mark((at + step + found.length) % found.length);
    } else if (event.key === "Escape") {
      if (list.hidden) box.value = "";
      close();
    }
  });
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const typed = box.value.trim();
    // While the list is not that of what was typed yet, what was typed counts.
    const marked = list.hidden || listed !== typed ? undefined : found[at]?.symbol;
    if (typed) pick(marked ?? typed);
  });
  list.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // the box keeps the focus, so that the list stays until the click
    const place = [...list.children].indexOf(event.target.closest("li"));
    if (found[place]) pick(found[place].symbol);
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, dialog, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      box.focus();
      box.select();
    }
  });
}
