/** The jobs that the page knows, kept up to date by one stream of server-sent events. */

import { api } from "./api.js";
import { t } from "./languages.js";

const FINAL = new Set(["succeeded", "failed", "cancelled"]);
export const isFinal = (job) => FINAL.has(job.status);

/**
 * Dispatches "change" with the job in `detail`, and "drop" when the stream is lost. One stream serves all unfinished jobs,
 * because browsers open only six connections to one host, all tabs together.
 */
export class Jobs extends EventTarget {
  #jobs = new Map();
  #stream = null;
  #followed = "";
  #retry = null;
  #delay = 1000;

  constructor() {
    super();
    // A page that nobody sees needs no stream; it catches up when it is looked at again.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#follow() : this.catchUp()));
    addEventListener("online", () => this.catchUp());
  }

  get(id) {
    return this.#jobs.get(id);
  }

  get all() {
    return [...this.#jobs.values()];
  }

  get unfinished() {
    return this.all.filter((job) => !isFinal(job));
  }

  /** Take in news of a job, whole or in part. */
  put(news) {
    const known = this.#jobs.get(news.id);
    // The stream and an answer may cross, and a job that has ended does not go back.
    if (known && isFinal(known) && news.status && !FINAL.has(news.status)) return known;
    const job = Object.assign(known ?? { previews: [] }, news);
    if (news.preview && job.picture) job.previews[job.picture - 1] = news.preview;
    this.#jobs.set(job.id, job);
    this.dispatchEvent(new CustomEvent("change", { detail: job }));
    queueMicrotask(() => this.#follow());
    return job;
  }

  #follow() {
    const ids = document.hidden ? [] : this.unfinished.map((job) => job.id).slice(-50);
    const followed = ids.join("&job=");
    if (followed === this.#followed) return;
    this.#followed = followed;
    this.#stream?.close();
    this.#stream = null;
    clearTimeout(this.#retry);
    if (ids.length) this.#open(followed);
  }

  #open(followed) {
    const stream = new EventSource(`/api/events?job=${followed}`);
    this.#stream = stream;
    for (const name of ["queued", "step", "held", "done", "failed", "cancelled"]) {
      stream.addEventListener(name, (event) => {
        if (stream !== this.#stream) return;
        this.#delay = 1000;
        this.put(JSON.parse(event.data));
      });
    }
    // The browser connects anew by itself after a drop. After an HTTP error it does not.
    stream.addEventListener("error", () => {
      if (stream !== this.#stream) return;
      this.dispatchEvent(new Event("drop"));
      if (stream.readyState !== EventSource.CLOSED) return;
      this.#followed = "";
      this.#retry = setTimeout(() => this.catchUp(), this.#delay);
      this.#delay = Math.min(this.#delay * 2, 15000);
    });
  }

  /** Ask for all news that may have been missed. */
  async catchUp() {
    await Promise.allSettled(
      this.unfinished.map(async ({ id }) => {
        try {
          this.put(await api.job(id));
        } catch (error) {
          if (error.status !== 404) throw error;
          this.put({ id, status: "failed", error: t("The bot no longer has this job.") });
        }
      }),
    );
    this.#follow();
  }
}
