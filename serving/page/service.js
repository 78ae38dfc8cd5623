// Asks the service. Where it asks for a key, so does the page, which keeps it until the tab is closed.

import { byId } from "./words.js";

const KEPT = "stock-volume-key";
let asking = null;

/** An answer that is none: `status` and what the service said of it. */
export class Refusal extends Error {
  constructor(status, body) {
    const said = typeof body?.detail === "string" ? body.detail : body?.detail?.map?.((fault) => fault.msg).join("; ");
    super(said || `the service answered ${status}`);
    this.status = status;
    this.body = body;
  }
}

const key = () => sessionStorage.getItem(KEPT);
export const hasKey = () => key() !== null;

/** The response to a request, an address relative to the page. Raises `Refusal`. */
export async function ask(address, options = {}) {
  const used = key();
  const headers = { Accept: "application/json", ...options.headers };
  if (used !== null) headers.Authorization = `Bearer ${used}`;
  let response;
  try {
    response = await fetch(address, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { detail: "the service cannot be reached" });
  }
  if (response.ok) return response;
  if (response.status === 401) {
    // Several requests may be refused at once, and another one may have brought a key meanwhile.
    if (key() === used) await (asking ??= askForKey(used !== null).finally(() => { asking = null; }));
    return ask(address, options);
  }
  throw new Refusal(response.status, await response.json().catch(() => null));
}

export const get = async (address, options) => (await ask(address, options)).json();

export const post = async (address, body, options) =>
  (await ask(address, {
    ...options, method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
  })).json();

/** An address that an <img> or a link can use also where the service asks for a key. */
export async function addressOf(address) {
  return hasKey() ? URL.createObjectURL(await (await ask(address, { headers: { Accept: "*/*" } })).blob()) : address;
}

function askForKey(refused) {
  const dialog = byId("key");
  byId("key-problem").textContent = refused ? "The service does not know that key." : "";
  byId("key-box").value = "";
  byId("key-cancel").onclick = () => dialog.close("");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    dialog.addEventListener("close", () => {
      const given = byId("key-box").value.trim();
      if (dialog.returnValue !== "ok" || !given) {
        reject(new Refusal(401, { detail: "the service asks for a key; reload the page to give one" }));
        return;
      }
      sessionStorage.setItem(KEPT, given);
      resolve();
    }, { once: true });
  });
}
