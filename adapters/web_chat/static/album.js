/** One's jobs as the history has them, newest first: read page by page, and kept up to date while they change. */

import { debounce } from "./dom.js";
import { api } from "./api.js";
import { stars } from "./stars.js";

const PAGE = 24;

/** What of a job can be seen in a list. */
const seen = (job) => [job.status, job.thumbnail, job.pictures?.length, job.is_pruned, job.is_spoiler].join(" ");

/**
 * Dispatches "change" when what it holds is to be shown anew, and "trouble" with the error in `detail` when news could
 * not be read. An end that the page's stream tells of costs no request, and a job that is new here one.
 */
export class Album extends EventTarget {
  #jobs;
  #query;
  #own = new Map();
  #seen = new Map();
  #asked = new Set();
  #next = null;
  #reading = null;
  #isRead = false;
  #closing = new AbortController();

  constructor(jobs, query = {}) {
    super();
    this.#jobs = jobs;
    this.#query = query;
    jobs.addEventListener("change", ({ detail }) => this.#changed(detail), { signal: this.#closing.signal });
  }

  get all() {
    return [...this.#own.values()];
  }

  has(id) {
    return this.#own.has(id);
  }

  get isRead() {
    return this.#isRead;
  }

  /** Whether there are older ones that were not read yet. */
  get hasMore() {
    return this.#next !== null;
  }

  /** Read the newest page again; older ones that were read stay. */
  renew() {
    return this.#read(null);
  }

  /** Read one more page, if there is one. */
  async more() {
    await this.#reading?.catch(() => {});
    if (!this.#isRead || this.hasMore) await this.#read(this.#next);
  }

  /**
   * The picture after (*by* 1: the next of its job, then an older job's) or before (-1) picture *which* of *job*; null at
   * an end, and undefined where older pages would have to be read to know.
   */
  beside(job, which, by) {
    const numbers = job.pictures.map(({ number }) => number);
    const next = numbers[numbers.indexOf(which) + by];
    if (next !== undefined && numbers.includes(which)) return { job, which: next };
    const { all } = this;
    let index = all.findIndex(({ id }) => id === job.id);
    const isUnread = !this.#isRead || (this.hasMore && job.submitted_at < (all.at(-1)?.submitted_at ?? 0));
    if (index < 0) return isUnread ? undefined : null;
    for (index += by; index >= 0 && index < all.length; index += by) {
      const { pictures } = all[index];
      if (pictures.length) return { job: all[index], which: pictures.at(by > 0 ? 0 : -1).number };
    }
    return by > 0 && this.hasMore ? undefined : null;
  }

  /** As `beside`, after as many older pages were read as that needs, but for *most*. */
  async neighbour(job, which, by, most = 40) {
    for (let count = 0; count < most; count += 1) {
      const found = this.beside(job, which, by);
      if (found !== undefined) return found;
      await this.more();
    }
    return null;
  }

  /** Take in no news any longer. */
  close() {
    this.#closing.abort();
  }

  #read(before) {
    const reading = this.#readPage(before).finally(() => {
      if (this.#reading === reading) this.#reading = null;
    });
    this.#reading = reading;
    return reading;
  }

  async #readPage(before) {
    const page = await api.history({ ...this.#query, before, limit: PAGE });
    stars.learn(page);
    const jobs = page.jobs.map((job) => this.#jobs.get(job.id) ?? { previews: [], ...job });
    const isApart = before === null && !jobs.some(({ id }) => this.#own.has(id));
    const kept = before === null && (isApart || page.next === null) ? [] : this.all;
    if (before !== null || !kept.length || page.next === null) this.#next = page.next;
    const last = jobs.at(-1)?.submitted_at ?? 0;
    const fresh = new Set(jobs.map(({ id }) => id));
    const others = kept.filter(({ id, submitted_at: at }) => !fresh.has(id) && (before !== null || at <= last));
    const all = before === null ? [...jobs, ...others] : [...others, ...jobs];
    this.#own = new Map(all.map((job) => [job.id, job]));
    this.#seen = new Map(all.map((job) => [job.id, seen(job)]));
    this.#isRead = true;
    this.dispatchEvent(new Event("change"));
  }

  #changed(job) {
    if (!this.#isRead) return;
    if (this.#own.has(job.id)) {
      if (this.#seen.get(job.id) === seen(job)) return;
      this.#own.set(job.id, job);
      this.#seen.set(job.id, seen(job));
      this.dispatchEvent(new Event("change"));
      return;
    }
    const oldest = this.all.at(-1);
    if (this.#asked.has(job.id) || (this.hasMore && oldest && job.submitted_at < oldest.submitted_at)) return;
    // Only the bot knows whether it belongs here.
    this.#asked.add(job.id);
    this.#renewSoon();
  }

  #renewSoon = debounce(300, () => this.renew().catch((error) => {
    this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
  }));
}
