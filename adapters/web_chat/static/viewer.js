/** One picture large, with everything about it, and the way on to the others. */

import { $, button, copy, duration, el, icon, moment, plural } from "./dom.js";
import { comparison, differences, Choice } from "./comparison.js";
import { api } from "./api.js";
import { isFinal } from "./jobs.js";
import { linkOf } from "./picture-link.js";
import { alternative, isTiny, pictureButtons, pictureOf, saveAll, told as stateOf } from "./conversation.js";
import { t } from "./languages.js";

/** Pixels that a finger moves sideways for another picture. */
const SWIPE = 48;

export class Viewer {
  #job = null;
  #which = 1;
  #album = null;
  #acts;
  #jobs;
  #everything;
  #isComparing = false;

  /** *everything* gives the album of all of one's jobs, which is gone through where no other is named. */
  constructor({ acts, jobs, everything }) {
    this.#acts = acts;
    this.#jobs = jobs;
    this.#everything = everything;
    this.dialog = $("viewer");
    this.picture = el("div", { class: "picture" });
    this.turns = new Map([[-1, [t("Previous picture"), "left"]], [1, [t("Next picture"), "right"]]].map(([by, [label, side]]) => [
      by, el("button", { type: "button", class: `round turn ${side}`, "aria-label": label, title: `${label} (${by < 0 ? "←" : "→"})`, onclick: () => this.#turn(by) }, icon(side)),
    ]));
    this.stage = el("div", { class: "stage" }, this.picture, ...this.turns.values());
    this.about = el("div", { class: "about" });
    this.title = el("h2", { "aria-live": "polite" });
    this.close = el("button", { type: "button", class: "round close", "aria-label": t("Close"), onclick: () => this.dialog.close() }, icon("close"));
    this.dialog.replaceChildren(this.stage, this.about);
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    this.dialog.addEventListener("cancel", (event) => {
      if (!this.#isComparing) return;
      event.preventDefault();
      this.#render();
    });
    this.dialog.addEventListener("keydown", (event) => {
      if (event.target.matches("input") || event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === "ArrowLeft") this.#turn(-1);
      if (event.key === "ArrowRight") this.#turn(1);
    });
    this.#followSwipes();
    jobs.addEventListener("change", ({ detail }) => this.#changed(detail));
  }

  open(job, which = 1, album = this.#everything()) {
    this.#album = album;
    this.#show(job, which);
    if (!this.dialog.open) this.dialog.showModal();
  }

  #show(job, which) {
    this.#job = job;
    this.#which = which;
    this.#render();
  }

  /** Go to the picture before (-1) or after (1) this one. */
  async #turn(by) {
    if (this.#isComparing) return;
    const [job, which] = [this.#job, this.#which];
    const found = await this.#album.neighbour(job, which, by).catch(() => null);
    if (found && this.#isAt(job, which)) this.#show(found.job, found.which);
  }

  #isAt(job, which) {
    return this.#job.id === job.id && this.#which === which && !this.#isComparing;
  }

  /** More pictures of what is looked at may be there now, or none any longer. */
  #changed(job) {
    if (!this.dialog.open || this.#isComparing || job.id !== this.#job.id) return;
    const count = job.pictures.length;
    if (count === this.#count) return;
    this.#job = job;
    if (count > this.#count && pictureOf(job, this.#which)) {
      this.#count = count;
      this.#lookAround();
    } else this.#render();
  }

  #count = 0;

  /** Show the ways on, as far as there are any, and have the pictures there ready. */
  async #lookAround() {
    const [job, which] = [this.#job, this.#which];
    for (const [by, turn] of this.turns) turn.hidden = this.#album.beside(job, which, by) === null;
    for (const [by, turn] of this.turns) {
      const found = await this.#album.neighbour(job, which, by).catch(() => null);
      if (!this.#isAt(job, which)) return;
      const hadFocus = document.activeElement === turn;
      turn.hidden = !found;
      if (turn.hidden && hadFocus) ([...this.turns.values()].find((each) => !each.hidden) ?? this.close).focus();
      if (found) new Image().src = pictureOf(found.job, found.which).url;
    }
  }

  #followSwipes() {
    let from = null;
    this.stage.addEventListener("touchstart", ({ touches }) => {
      const isZoomed = (window.visualViewport?.scale ?? 1) > 1.05;
      from = touches.length === 1 && !isZoomed ? { x: touches[0].clientX, y: touches[0].clientY } : null;
    }, { passive: true });
    this.stage.addEventListener("touchend", ({ changedTouches: [touch] }) => {
      if (!from) return;
      const [x, y] = [touch.clientX - from.x, touch.clientY - from.y];
      from = null;
      if (Math.abs(x) > SWIPE && Math.abs(x) > 1.5 * Math.abs(y)) this.#turn(x < 0 ? 1 : -1);
    });
  }

  /** What can be done from here: each act closes the viewer first. */
  get #closing() {
    return Object.fromEntries(Object.entries(this.#acts).map(([name, act]) => [
      name,
      (...values) => {
        this.dialog.close();
        act(...values);
      },
    ]));
  }

  /** Say *title*, and show *content* below it. */
  #tell(title, ...content) {
    const hadFocus = this.about.contains(document.activeElement);
    this.title.textContent = title;
    this.about.replaceChildren(this.close, this.title, ...content.filter(Boolean));
    if (hadFocus) this.close.focus();
  }

  #render() {
    const job = this.#job;
    const which = this.#which;
    const picture = pictureOf(job, which);
    const one = job.images > 1 && picture ? which : undefined;
    const acts = this.#closing;
    this.#isComparing = false;
    this.#count = job.pictures.length;
    this.stage.classList.toggle("tiny", isTiny(job));
    // The picture fills the stage, in whole proportions, also where it is small.
    this.stage.style.setProperty("--ratio", job.width / job.height);
    this.picture.replaceChildren(picture
      ? el("img", { src: picture.url, alt: alternative(job, which), width: job.width, height: job.height })
      : el("p", { class: "quiet", text: job.status === "succeeded" ? t("This picture was deleted.") : stateOf(job) }));
    const copies = button(t("Copy prompt"), "copy", () => copy(job.prompt, copies));
    this.#tell(
      job.prompt,
      job.images > 1 && el("p", { class: "quiet", text: t`Picture ${which} of ${job.images}` }),
      el("dl", {}, rows(job, picture).map(([name, value]) => [el("dt", { text: name }), el("dd", { text: value })])),
      job.control && el("div", { class: "side-by-side" },
        figure(job.control.image, t("Control image")),
        job.control.map && figure(job.control.map, t("Control map"))),
      el("div", { class: "actions" },
        button(t("Again"), "again", () => acts.again(job, one), { title: t("Draw a new picture from the same words") }),
        !picture && button(t("Same again"), "again", () => acts.same(job, one), { title: t("Draw exactly the same pixels") }),
        button(t("Edit prompt"), "edit", () => acts.edit(one ? { ...job, seed: picture.seed, images: 1 } : job)),
        copies,
        picture && pictureButtons(job, which, acts),
        job.pictures.length > 1 && saveAll(job),
        picture && button(t("Compare"), "compare", () => this.#compare(), { title: t("See it over another picture, with a slider") }),
        picture && isFinal(job) && button(t("Delete"), "delete", () => acts.remove(job))),
      picture && isFinal(job) && linkOf(job),
    );
    this.#lookAround();
  }

  /** Show this picture over another one: its parent, or else one beside it. */
  async #compare() {
    const [job, which] = [this.#job, this.#which];
    const other = await this.#parent(job, which).catch(() => null)
      ?? await this.#album.neighbour(job, which, 1).catch(() => null)
      ?? await this.#album.neighbour(job, which, -1).catch(() => null);
    if (this.#isAt(job, which)) this.#showBoth(other);
  }

  /** The picture that *job* was made from, if it is still there. */
  async #parent(job, which) {
    if (!job.parent) return null;
    const parent = this.#jobs.get(job.parent) ?? await api.job(job.parent);
    const seed = pictureOf(job, which)?.seed;
    const found = parent.pictures.find((each) => each.seed === seed) ?? parent.pictures[0];
    return found ? { job: parent, which: found.number } : null;
  }

  /** Compare with *other*, a picture of a job; with null have one chosen first. */
  #showBoth(other) {
    const mine = { job: this.#job, which: this.#which };
    this.#isComparing = true;
    for (const turn of this.turns.values()) turn.hidden = true;
    if (other) this.picture.replaceChildren(comparison(other, mine));
    const choice = new Choice(this.#album, mine, (chosen) => this.#showBoth(chosen));
    choice.element.hidden = Boolean(other);
    const choose = button(t("Compare with…"), "image", () => {
      choice.element.hidden = !choice.element.hidden;
      choose.setAttribute("aria-expanded", String(!choice.element.hidden));
    }, { "aria-expanded": String(!other) });
    this.#tell(
      other ? t("Two pictures compared") : t("Compare with which picture?"),
      other && differences(told(other), told(mine)),
      el("div", { class: "actions" }, choose, button(t("Stop comparing"), "close", () => {
        this.#render();
        this.close.focus();
      })),
      choice.element,
    );
    (this.picture.querySelector("input") ?? choose).focus();
  }
}

/** What is told of a picture, to be compared. */
function told({ job, which }) {
  const name = job.images > 1 ? `${job.id} · ${which}` : job.id;
  return [[t("Picture"), name], [t("Words"), job.prompt], ...rows(job, pictureOf(job, which)).filter(([name]) => name !== t("Id"))];
}

function figure(source, caption) {
  return el("figure", {}, el("img", { src: source, alt: caption, loading: "lazy" }), el("figcaption", { text: caption }));
}

function rows(job, picture) {
  return [
    [t("Seed"), String(picture?.seed ?? job.seed)],
    [t("Size"), `${job.width} × ${job.height}`],
    [t("Steps"), String(job.num_inference_steps)],
    [t("Guidance"), String(job.guidance_scale)],
    job.strength !== null && [t("Strength"), String(job.strength)],
    job.negative_prompt && [t("Without"), job.negative_prompt],
    job.loras && [t("LoRAs"), job.loras.replaceAll(",", ", ")],
    [t("Preset"), job.preset],
    [t("Model"), job.model],
    job.seconds !== null && [t("Drawn in"), duration(job.seconds)],
    [t("Cost"), plural(job.cost, "credit")],
    [t("Asked for"), moment(job.submitted_at)],
    [t("Id"), job.id],
  ].filter(Boolean);
}
