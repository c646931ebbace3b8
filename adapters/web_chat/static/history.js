/** The history panel: thumbnails, search, paging. */

import { $, debounce, el, moment } from "./dom.js";
import { Album } from "./album.js";
import { t } from "./languages.js";
import { stars } from "./stars.js";

export class History {
  #rows = new Map();
  #acts;
  #jobs;
  #query = {};

  constructor({ acts, jobs }) {
    this.#acts = acts;
    this.#jobs = jobs;
    /** All of one's jobs, whatever is searched for. */
    this.everything = this.#followed(new Album(jobs));
    /** Those that are listed. */
    this.album = this.everything;
    $("history-search").addEventListener("input", debounce(200, () => this.#search()));
    for (const name of ["preset", "since", "until"]) $(`history-${name}`).addEventListener("change", () => this.#search());
    $("history-stars").addEventListener("click", ({ currentTarget: star }) => {
      star.setAttribute("aria-pressed", star.getAttribute("aria-pressed") !== "true");
      this.#search();
    });
    stars.addEventListener("change", () => this.#query.favourites && this.#search({ isNew: true }));
    $("history-more").addEventListener("click", () => this.#reading(this.album.more()));
  }

  refresh() {
    return this.#reading(this.album.renew());
  }

  /** Offer the *presets* that there are. */
  configure({ presets }) {
    const menu = $("history-preset");
    const chosen = menu.value;
    menu.replaceChildren(menu.options[0], ...presets.map(({ name }) => el("option", { value: name, text: name })));
    menu.value = presets.some(({ name }) => name === chosen) ? chosen : "";
  }

  /** List what is looked for by now; *isNew* where that may be other pictures than before. */
  #search({ isNew = false } = {}) {
    const [words, preset, since, until] = ["search", "preset", "since", "until"].map((name) => $(`history-${name}`).value.trim());
    const favourites = $("history-stars").getAttribute("aria-pressed") === "true";
    const query = Object.fromEntries(Object.entries({ words, favourites, preset, since, until }).filter(([, value]) => value));
    if (!isNew && JSON.stringify(query) === JSON.stringify(this.#query)) return;
    this.#query = query;
    if (this.album !== this.everything) this.album.close();
    this.album = Object.keys(query).length ? this.#followed(new Album(this.#jobs, query)) : this.everything;
    this.refresh();
  }

  get #nothing() {
    const { words, ...others } = this.#query;
    if (Object.keys(others).length) return t("None of your pictures fits that.");
    return words ? t`None of your prompts has “${words}” in it.` : t("Your pictures will be listed here.");
  }

  #followed(album) {
    album.addEventListener("change", () => album === this.album && this.#show());
    album.addEventListener("trouble", ({ detail }) => album === this.album && this.#say(detail.message));
    return album;
  }

  async #reading(read) {
    const { album } = this;
    try {
      await read;
    } catch (error) {
      if (album === this.album) this.#say(error.message);
    }
  }

  #show() {
    const jobs = this.album.all;
    this.#keepingPlace(() => {
      const list = $("history-list");
      const wanted = new Set(jobs.map(({ id }) => id));
      for (const [id, row] of this.#rows) {
        if (wanted.has(id)) continue;
        row.remove();
        this.#rows.delete(id);
      }
      for (const [index, job] of jobs.entries()) {
        const row = this.#row(job);
        if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
      }
    });
    $("history-more").hidden = !this.album.hasMore;
    this.#say(jobs.length ? "" : this.#nothing);
  }

  /** Carry out *change*, and leave the rows that are looked at where they are on the screen. */
  #keepingPlace(change) {
    const panel = $("history");
    const top = panel.getBoundingClientRect().top;
    const first = panel.scrollTop > 0
      && [...this.#rows.values()].find((row) => row.getBoundingClientRect().bottom > top);
    const before = first && first.getBoundingClientRect().top;
    change();
    if (first && first.isConnected) panel.scrollTop += first.getBoundingClientRect().top - before;
  }

  /** The row of a job: the one that is there, brought up to date, or a new one. */
  #row(job) {
    let row = this.#rows.get(job.id);
    if (!row) {
      const known = () => this.#jobs.get(job.id) ?? job;
      row = el("li", {}, el("button", { type: "button", class: "row", onclick: () => this.#acts.open(known(), 1, this.album) }));
      this.#rows.set(job.id, row);
    }
    const state = `${job.status} ${job.thumbnail} ${job.is_spoiler}`;
    if (row.dataset.state === state) return row;
    row.dataset.state = state;
    row.firstChild.replaceChildren(
      job.thumbnail ? el("img", { src: job.thumbnail, alt: "", loading: "lazy", class: job.is_spoiler ? "spoiler" : "" })
        : el("span", { class: `no-thumb ${job.status}`, "aria-hidden": "true" }),
      el("span", { class: "row-text" },
        el("span", { class: "row-prompt", text: job.prompt }),
        el("small", {},
          job.status === "succeeded" ? moment(job.submitted_at) : `${t(job.status)}, ${moment(job.submitted_at)}`,
          el("code", { class: "id", text: job.id }))));
    return row;
  }

  #say(text) {
    $("history-empty").textContent = text;
    $("history-empty").hidden = !text;
  }
}
