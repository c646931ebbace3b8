/** The history panel: thumbnails, search, paging. */

import { $, debounce, el, moment } from "./dom.js";
import { api } from "./api.js";

export class History {
  #next = null;
  #asking = null;
  #acts;
  #jobs;

  constructor({ acts, jobs }) {
    this.#acts = acts;
    this.#jobs = jobs;
    $("history-search").addEventListener("input", debounce(200, () => this.refresh()));
    $("history-more").addEventListener("click", () => this.#load(this.#next));
    jobs.addEventListener("change", ({ detail }) => this.#changed(detail));
  }

  refresh() {
    return this.#load(null);
  }

  /** Refresh for a job that is new here or has its thumbnail now. */
  #changed(job) {
    if ($("history").hidden || this.#states.get(job.id) === job.status) return;
    this.#refreshSoon();
  }

  #refreshSoon = debounce(300, () => this.refresh());
  #states = new Map();

  async #load(before) {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    const words = $("history-search").value.trim();
    let page;
    try {
      page = await api.history({ words, before, limit: 24 }, asking.signal);
    } catch (error) {
      if (error.name !== "AbortError") this.#say(error.message);
      return;
    }
    if (before === null) {
      $("history-list").replaceChildren();
      this.#states.clear();
    }
    for (const job of page.jobs) this.#states.set(job.id, job.status);
    $("history-list").append(...page.jobs.map((job) => this.#row(job)));
    this.#next = page.next;
    $("history-more").hidden = page.next === null;
    const isEmpty = $("history-list").childElementCount === 0;
    this.#say(isEmpty ? (words ? `None of your prompts has “${words}” in it.` : "Your pictures will be listed here.") : "");
  }

  #row(job) {
    const known = () => this.#jobs.get(job.id) ?? { previews: [], ...job };
    return el("li", {},
      el("button", { type: "button", class: "row", onclick: () => this.#acts.open(known(), 1) },
        job.thumbnail ? el("img", { src: job.thumbnail, alt: "", loading: "lazy", class: job.is_spoiler ? "spoiler" : "" })
          : el("span", { class: `no-thumb ${job.status}`, "aria-hidden": "true" }),
        el("span", { class: "row-text" },
          el("span", { class: "row-prompt", text: job.prompt }),
          el("small", {},
            job.status === "succeeded" ? moment(job.submitted_at) : `${job.status}, ${moment(job.submitted_at)}`,
            el("code", { class: "id", text: job.id })))));
  }

  #say(text) {
    $("history-empty").textContent = text;
    $("history-empty").hidden = !text;
  }
}
