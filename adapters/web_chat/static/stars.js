/** Favourites: which pictures have a star, and the buttons that give it and take it back. */

import { api } from "./api.js";
import { announce, button } from "./dom.js";
import { t } from "./languages.js";

class Stars extends EventTarget {
  #ids = new Set();

  has(id) {
    return this.#ids.has(id);
  }

  /** Take over what a page of the history says of its jobs. */
  learn({ jobs, favourites }) {
    const marked = new Set(favourites);
    for (const { id } of jobs) this.#mark(id, marked.has(id));
  }

  async turn(id) {
    const { is_favourite: isMarked } = await api.favourite(id, !this.has(id));
    this.#mark(id, isMarked);
    announce(isMarked ? t("This is among your favourites now") : t("This is no favourite of yours any more"));
    this.dispatchEvent(new Event("change"));
  }

  #mark(id, isMarked) {
    if (isMarked) this.#ids.add(id);
    else this.#ids.delete(id);
    for (const each of document.querySelectorAll(`[data-star="${CSS.escape(id)}"]`)) each.setAttribute("aria-pressed", isMarked);
  }
}

export const stars = new Stars();

/** The star of a job. */
export function starButton(job) {
  const made = button(t("Favourite"), "star", async () => {
    made.disabled = true;
    try {
      await stars.turn(job.id);
    } catch (error) {
      announce(error.message);
      made.title = error.message;
    }
    made.disabled = false;
    made.focus();
  }, { class: "ghost star", "aria-pressed": String(stars.has(job.id)) });
  made.dataset.star = job.id;
  return made;
}
