/** Pictures that a screen holds, for moderators: a count in the head, and a dialog to decide in. */

import { $, announce, button, el, icon, moment, plural } from "./dom.js";
import { api } from "./api.js";
import { t } from "./languages.js";

const HELD_BACK = t("A screen holds these back until somebody decides. Who looks, and what is decided, goes into the audit log.");

export class Held {
  #cards = new Map();

  constructor() {
    this.dialog = el("dialog", { class: "held", id: "held", "aria-labelledby": "held-title" },
      el("div", { class: "held-head" },
        el("h2", { id: "held-title", text: t("Held pictures") }),
        el("button", { type: "button", class: "round", id: "held-close", "aria-label": t("Close the held pictures") }, icon("close"))),
      el("p", { class: "quiet", text: HELD_BACK }),
      el("ul", { class: "held-list", id: "held-list" }),
      el("p", { class: "quiet", id: "held-empty", role: "status", hidden: true }));
    document.body.append(this.dialog);
    $("held-button").addEventListener("click", () => this.open());
    $("held-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
  }

  /** Show how many pictures wait; null for people who decide about none. */
  set count(count) {
    const shown = $("held-count").textContent;
    $("held-button").hidden = !count;
    $("held-count").textContent = count || "";
    $("held-button").setAttribute("aria-label", plural(count ?? 0, "held picture"));
    if (count && String(count) !== shown) announce(t`${plural(count, "picture")} held for a moderator`);
    if (this.dialog.open && count !== this.#waiting) this.#refresh();
  }

  /** Jobs in the dialog that nobody has decided about. */
  get #waiting() {
    return [...this.#cards.values()].filter(({ dataset }) => !dataset.decided).length;
  }

  open() {
    this.#cards.clear();
    $("held-list").replaceChildren();
    this.#say("");
    this.dialog.showModal();
    $("held-close").focus();
    return this.#refresh();
  }

  /** Add what is new, and take away what others have decided. */
  async #refresh() {
    let jobs;
    try {
      jobs = await api.held();
    } catch (error) {
      this.#say(error.message);
      return;
    }
    const ids = new Set(jobs.map(({ id }) => id));
    for (const [id, card] of this.#cards) {
      if (ids.has(id) || card.dataset.decided) continue;
      card.remove();
      this.#cards.delete(id);
    }
    for (const job of jobs) {
      if (this.#cards.has(job.id)) continue;
      this.#cards.set(job.id, this.#card(job));
      $("held-list").append(this.#cards.get(job.id));
    }
    this.#say(this.#cards.size ? "" : t("No picture waits for a moderator."));
  }

  #card(job) {
    const pictures = el("div", { class: "pictures" },
      Array.from({ length: job.images }, (_, index) => covered(job, index + 1)));
    pictures.style.setProperty("--columns", job.images > 1 ? 2 : 1);
    const reason = el("input", { type: "text", maxlength: "200", "aria-label": t`Reason for ${job.id}`,
      placeholder: t("Reason for the person, if any") });
    const line = el("p", { class: "line", role: "status" });
    const decide = async (act) => {
      for (const each of acts) each.disabled = true;
      try {
        line.textContent = (await act()).text;
        card.dataset.decided = "true";
        for (const each of [pictures, reason, ...acts]) each.remove();
      } catch (error) {
        line.textContent = error.message;
        for (const each of acts) each.disabled = false;
      }
    };
    const acts = [
      button(t("Release"), "check", () => decide(() => api.release(job.id)), { title: t("Send it to the person") }),
      button(t("Reject"), "close", () => decide(() => api.reject(job.id, reason.value.trim())), {
        class: "ghost reject", title: t("Delete it, and tell the person"),
      }),
    ];
    const card = el("li", { class: "held-job", "aria-label": t`Held picture ${job.id}` },
      pictures,
      el("div", { class: "held-text" },
        el("p", { class: "held-prompt", text: job.prompt }),
        el("p", { class: "quiet" }, `${job.user} · ${moment(job.submitted_at)} · ${job.verdict} · `, el("code", { text: job.id })),
        reason,
        el("div", { class: "actions" }, acts),
        line));
    return card;
  }

  #say(text) {
    $("held-empty").textContent = text;
    $("held-empty").hidden = !text;
  }
}

/** A picture that is fetched once a moderator wants to see it, for each look is written down. */
function covered(job, number) {
  const name = job.images > 1 ? t`Show picture ${number} of ${job.id}` : t`Show ${job.id}`;
  const frame = el("button", { type: "button", class: "frame held-frame", "aria-label": name, onclick: show },
    el("span", { class: "haze", "aria-hidden": "true" }),
    el("span", { class: "cover" }, icon("alert"), el("span", { text: t("Show") })));
  frame.style.aspectRatio = `${job.width} / ${job.height}`;
  function show() {
    const image = el("img", { class: "final", alt: t`Held picture ${number}: ${job.prompt}`,
      src: `/api/admin/held/${job.id}/image?number=${number}` });
    image.addEventListener("error", () => frame.replaceChildren(
      el("span", { class: "cover", text: t("This picture cannot be shown: it is gone, or decided already.") })));
    image.addEventListener("load", () => frame.classList.add("done"));
    frame.replaceChildren(image);
    frame.disabled = true;
  }
  return frame;
}
