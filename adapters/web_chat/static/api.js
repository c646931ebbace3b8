/** The HTTP API, as promises. */

import { t } from "./languages.js";

/** A refusal: the bot's sentence, and the place of the fault in the request. */
export class Refusal extends Error {
  constructor(status, { code, message, field, word, position }, retryAfter) {
    super(message);
    Object.assign(this, { status, code, field, word, position, retryAfter });
  }
}

let onSignedOut = () => {};

export function whenSignedOut(action) {
  onSignedOut = action;
}

async function call(method, path, body, signal, headers = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      signal,
      headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { code: "unreachable", message: t("The bot cannot be reached right now.") });
  }
  const answer = response.status === 204 ? null : await response.json().catch(() => null);
  if (response.ok) return answer;
  if (response.status === 401 && path !== "/api/session") onSignedOut();
  const error = answer?.error ?? { code: "error", message: t`The bot answered ${response.status}.` };
  throw new Refusal(response.status, error, Number(response.headers.get("Retry-After")) || null);
}

/** Pauses in milliseconds before a request whose answer was lost is sent again. */
const PAUSES = [500, 2000];

/** Post what must not be done twice: sent again under the same key, it is the same request. */
async function once(path, body) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const key = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  for (const pause of [...PAUSES, null]) {
    try {
      return await call("POST", path, body, undefined, { "Idempotency-Key": key });
    } catch (error) {
      if (error.status !== 0 || pause === null) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

const enc = encodeURIComponent;

export const api = {
  about: () => call("GET", "/api/about"),
  status: () => call("GET", "/api/status"),
  presets: () => call("GET", "/api/presets"),
  models: () => call("GET", "/api/models"),
  quota: () => call("GET", "/api/quota"),
  job: (id) => call("GET", `/api/jobs/${enc(id)}`),
  cancel: (id) => call("DELETE", `/api/jobs/${enc(id)}`),
  deletePictures: (id) => call("DELETE", `/api/jobs/${enc(id)}/pictures`),
  again: (id, { number, same = false } = {}) => once(`/api/jobs/${enc(id)}/again`, { same, number }),
  vary: (id, how, number = 1) => once(`/api/jobs/${enc(id)}/vary`, { how, number }),
  pictureLink: (id) => call("GET", `/api/jobs/${enc(id)}/link`),
  share: (id) => call("PUT", `/api/jobs/${enc(id)}/link`),
  takeBack: (id) => call("DELETE", `/api/jobs/${enc(id)}/link`),
  notifications: () => call("GET", "/api/me/notifications"),
  say: (text, pictures = {}, options = undefined) => once("/api/messages", { text, ...pictures, options }),
  link: (code) => call("GET", `/api/links/${enc(code)}`),
  deleteMe: () => call("DELETE", "/api/me"),
  quote: (body, signal) => call("POST", "/api/quote", body, signal),
  inspect: (image) => call("POST", "/api/inspect", { image }),
  controlMap: (body, signal) => call("POST", "/api/control-map", body, signal),
  overview: () => call("GET", "/api/admin/overview"),
  use: (days, words) => call("GET", `/api/admin/use?${new URLSearchParams({ days, words })}`),
  acts: (words, page) => call("GET", `/api/admin/acts?${new URLSearchParams({ words, page })}`),
  held: () => call("GET", "/api/admin/held"),
  release: (id) => call("POST", `/api/admin/held/${enc(id)}/release`),
  reject: (id, reason) => call("POST", `/api/admin/held/${enc(id)}/reject`, { reason }),
  signOut: (everywhere) => call("DELETE", `/api/session?everywhere=${everywhere}`),
  providers: () => call("GET", "/api/sign-in/providers"),
  signIn: (token) => call("POST", "/api/session", { token }),
  favourite: (id, isMarked) => call(isMarked ? "PUT" : "DELETE", `/api/jobs/${enc(id)}/favourite`),
  history: ({ words = "", before, limit = 20, ...filters }, signal) => {
    const query = new URLSearchParams({ words, limit });
    for (const [name, value] of Object.entries(filters)) if (value) query.set(name, value);
    if (before !== undefined && before !== null) query.set("before", before);
    return call("GET", `/api/history?${query}`, undefined, signal);
  },
};
