/** One picture large, with everything about it. */

import { $, button, duration, el, icon, moment, plural } from "./dom.js";
import { isFinal } from "./jobs.js";
import { alternative, isTiny, pictureButtons, pictureOf, told } from "./conversation.js";

export class Viewer {
  #job = null;
  #which = 1;
  #acts;

  constructor(acts) {
    this.#acts = acts;
    this.dialog = $("viewer");
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    this.dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") this.#turn(-1);
      if (event.key === "ArrowRight") this.#turn(1);
    });
  }

  open(job, which = 1) {
    this.#job = job;
    this.#which = which;
    this.#render();
    if (!this.dialog.open) this.dialog.showModal();
  }

  #turn(by) {
    const next = this.#next(by);
    if (!next) return;
    this.#which = next;
    const label = by < 0 ? "Previous picture" : "Next picture";
    const hadFocus = this.dialog.contains(document.activeElement);
    this.#render();
    if (hadFocus) (this.dialog.querySelector(`[aria-label="${label}"]`) ?? this.dialog.querySelector(".close")).focus();
  }

  /** Number of the picture before (-1) or after (1) this one; undefined at the end. */
  #next(by) {
    const numbers = this.#job.pictures.map(({ number }) => number);
    return numbers[numbers.indexOf(this.#which) + by];
  }

  #render() {
    const job = this.#job;
    const which = this.#which;
    const picture = pictureOf(job, which);
    const one = job.images > 1 && picture ? which : undefined;
    const acts = Object.fromEntries(Object.entries(this.#acts).map(([name, act]) => [
      name,
      (...values) => {
        this.dialog.close();
        act(...values);
      },
    ]));
    const stage = el("div", { class: isTiny(job) ? "stage tiny" : "stage" },
      picture
        ? el("img", { src: picture.url, alt: alternative(job, which), width: job.width, height: job.height })
        : el("p", { class: "quiet", text: job.status === "succeeded" ? "This picture was deleted." : told(job) }),
      this.#next(-1) !== undefined && el("button", { type: "button", class: "round turn left", "aria-label": "Previous picture", onclick: () => this.#turn(-1) }, icon("left")),
      this.#next(1) !== undefined && el("button", { type: "button", class: "round turn right", "aria-label": "Next picture", onclick: () => this.#turn(1) }, icon("right")));
    // The picture fills the stage, in whole proportions, also where it is small.
    stage.style.setProperty("--ratio", job.width / job.height);
    this.dialog.replaceChildren(
      stage,
      el("div", { class: "about" },
        el("button", { type: "button", class: "round close", "aria-label": "Close", onclick: () => this.dialog.close() }, icon("close")),
        el("h2", { text: job.prompt }),
        job.images > 1 && el("p", { class: "quiet", text: `Picture ${which} of ${job.images}` }),
        el("dl", {}, rows(job, picture).map(([name, value]) => [el("dt", { text: name }), el("dd", { text: value })])),
        job.control && el("div", { class: "side-by-side" },
          figure(job.control.image, "Control image"),
          job.control.map && figure(job.control.map, "Control map")),
        el("div", { class: "actions" },
          button("Again", "again", () => acts.again(job, one), { title: "Draw a new picture from the same words" }),
          !picture && button("Same again", "again", () => acts.same(job, one), { title: "Draw exactly the same pixels" }),
          button("Edit prompt", "edit", () => acts.edit(one ? { ...job, seed: picture.seed, images: 1 } : job)),
          picture && pictureButtons(job, which, acts),
          picture && isFinal(job) && button("Delete", "delete", () => acts.remove(job)))));
  }
}

function figure(source, caption) {
  return el("figure", {}, el("img", { src: source, alt: caption, loading: "lazy" }), el("figcaption", { text: caption }));
}

function rows(job, picture) {
  return [
    ["Seed", String(picture?.seed ?? job.seed)],
    ["Size", `${job.width} × ${job.height}`],
    ["Steps", String(job.num_inference_steps)],
    ["Guidance", String(job.guidance_scale)],
    job.strength !== null && ["Strength", String(job.strength)],
    job.negative_prompt && ["Without", job.negative_prompt],
    ["Preset", job.preset],
    ["Model", job.model],
    job.seconds !== null && ["Drawn in", duration(job.seconds)],
    ["Cost", plural(job.cost, "credit")],
    ["Asked for", moment(job.submitted_at)],
    ["Id", job.id],
  ].filter(Boolean);
}
