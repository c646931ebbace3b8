/** Tells by a notification of the browser that a picture is done, to whoever looks elsewhere meanwhile. */

import { api } from "./api.js";
import { isFinal } from "./jobs.js";
import { t } from "./languages.js";

/** Characters of a prompt that a notification has at most. */
const LENGTH = 120;

export class Notifier {
  #open;
  #waiting = new Set();
  #wanted = new Set();
  #settings = { when: "long", after_seconds: Infinity };

  /** *open* shows a picture, which the notification leads to. */
  constructor({ jobs, open }) {
    this.#open = open;
    jobs.addEventListener("change", ({ detail }) => this.#changed(detail));
  }

  /** Follow what the person has set. */
  async follow() {
    this.#settings = await api.notifications();
  }

  /** Whether to offer it: the browser was not asked yet, and the person has not turned it off. */
  get canAsk() {
    return "Notification" in window && Notification.permission === "default" && this.#settings.when !== "never";
  }

  /** Tell of *job*, however soon it is done; whether the browser lets us. */
  async want(job) {
    this.#wanted.add(job.id);
    return await Notification.requestPermission() === "granted";
  }

  #changed(job) {
    if (!isFinal(job)) {
      this.#waiting.add(job.id);
      return;
    }
    const isNews = this.#waiting.delete(job.id);
    const isWanted = this.#wanted.delete(job.id) || this.#isSet(job);
    // Who has cancelled it knows.
    if (isNews && isWanted && document.hidden && job.status !== "cancelled") this.#tell(job);
  }

  #isSet(job) {
    const { when, after_seconds: after } = this.#settings;
    if (when === "always" || when === "never") return when === "always";
    return (job.finished_at ?? job.submitted_at) - job.submitted_at >= after;
  }

  #tell(job) {
    if (!("Notification" in window) || Notification.permission !== "granted") return;
    const isDone = job.status === "succeeded";
    try {
      const told = new Notification(isDone ? t("Your picture is ready") : t("Your picture could not be drawn"), {
        body: isDone ? job.prompt.slice(0, LENGTH) : job.error ?? "",
        icon: job.is_spoiler ? undefined : job.thumbnail ?? undefined,
        tag: job.series ?? job.id,
      });
      told.addEventListener("click", () => {
        window.focus();
        told.close();
        if (job.pictures.length) this.#open(job, 1);
      });
    } catch {
      // Chrome on Android shows none for a page; the title tells it all the same.
    }
  }
}
