/** The conversation: what was said, and one card for each job, updated in place. */

import { $, announce, button, copy, duration, el, icon, moment, number, plural } from "./dom.js";
import { canChange } from "./changing.js";
import { canUpscale } from "./enlarging.js";
import { isFinal } from "./jobs.js";
import { starButton } from "./stars.js";
import { t } from "./languages.js";

export const isTiny = (job) => Math.max(job.width, job.height) <= 128;

/** Picture *which* of the job, once it is there: each is as soon as it is drawn. */
export const pictureOf = (job, which) => job.pictures.find(({ number }) => number === which);

/** Width in CSS pixels at which a picture of the job is shown. */
export function shownWidth(job) {
  const width = isTiny(job) ? job.width * 3 : job.width < 320 ? job.width * 1.5 : job.width;
  const tallest = 480 * (job.width / job.height);
  return Math.round(Math.min(width, tallest, 560));
}

/** Words of a job's options, for chips. */
export function described(job, defaults) {
  const preset = defaults.find(({ name }) => name === job.preset) ?? defaults[0];
  const chips = [];
  if (preset && job.preset !== defaults[0]?.name) chips.push(job.preset);
  if (job.num_inference_steps !== preset?.num_inference_steps) {
    chips.push(plural(job.num_inference_steps, "step"));
  }
  if (job.width !== preset?.width || job.height !== preset?.height) {
    chips.push(`${job.width} × ${job.height}`);
  }
  if (job.guidance_scale !== preset?.guidance_scale) chips.push(t`guidance ${job.guidance_scale}`);
  if (job.strength !== null && job.strength !== preset?.strength) {
    chips.push(t`strength ${job.strength}`);
  }
  if (job.images > 1) chips.push(t`${job.images} pictures`);
  if (job.loras) chips.push(job.loras.replaceAll(",", ", "));
  if (job.negative_prompt) chips.push(t`without ${job.negative_prompt}`);
  return chips;
}

/** Reasons why no picture is being drawn, by the engine's status. */
const HELD = { loading: t("waiting for the model to load"), paused: t("drawing is paused"), failed: t("the model could not be loaded") };

/** The state of a job in one line; *engine* is the engine's status. */
export function told(job, engine = "ready") {
  if (job.status === "queued" && HELD[engine]) return t`Queued: ${HELD[engine]}`;
  if (job.status === "queued") {
    const place = job.position === 0 ? t("you are next")
      : job.position === 1 ? t("1 job ahead of you") : t`${job.position} jobs ahead of you`;
    const wait = job.wait === null || job.wait === undefined ? null
      : job.wait < 1 ? t("starts in a moment") : t`starts in about ${duration(job.wait)}`;
    return wait ? t`Queued: ${place}, ${wait}` : t`Queued: ${place}`;
  }
  if (job.status === "running") {
    const isOne = job.images === 1 || !job.picture;
    if (job.note) return job.note.charAt(0).toUpperCase() + job.note.slice(1);
    if (job.step === 0) return t`Starting to draw`;
    if (job.step >= job.steps && (job.picture || 1) >= job.images) return t("Almost done: saving the picture");
    if (isOne) return t`Drawing step ${job.step} of ${job.steps}`;
    return t`Drawing picture ${job.picture} of ${job.images}, step ${job.step} of ${job.steps}`;
  }
  if (job.status === "held") return t("A moderator looks at this picture before anybody sees it");
  if (job.status === "cancelled") {
    if (job.error) return withPictures(job.error, job);
    if (!job.steps_drawn || job.refunded >= job.cost) return t("Cancelled. Your credits were given back.");
    const [drawn, steps, paid] = [job.steps_drawn, job.steps * job.images, plural(job.cost - job.refunded, "credit")];
    return withPictures(t`Cancelled: ${drawn} of ${steps} steps were drawn, so ${paid} of ${job.cost} were kept.`, job);
  }
  if (job.status === "failed") return withPictures(job.error ?? t("The picture could not be made."), job);
  return "";
}

/** The line of a job that ended early, and what it has to show all the same. */
function withPictures(line, job) {
  if (!job.pictures?.length) return line;
  return `${line} ${t`${job.pictures.length} of ${plural(job.images, "picture")} are there to stay, and paid for.`}`;
}

/** Share of a job that is drawn, 0 to 1. */
function share(job) {
  if (job.status !== "running") return isFinal(job) ? 1 : 0;
  return (Math.max(0, (job.picture || 1) - 1) * job.steps + job.step) / (job.steps * job.images);
}

/** One job: its pictures as they grow, what it is doing, and what can be done with it. */
export class JobCard {
  #job;
  #acts;
  #frames = [];
  #state = "";
  #spoken = "";
  #engine;

  constructor(job, acts, engine) {
    this.#job = job;
    this.#engine = engine;
    this.#acts = acts;
    const ratio = `${job.width} / ${job.height}`;
    for (let index = 0; index < job.images; index += 1) {
      const preview = el("img", { class: "preview", alt: "" });
      const open = el("button", {
        type: "button", class: "frame", disabled: true, onclick: () => acts.open(this.#job, index + 1),
        "aria-label": job.images > 1 ? t`Open picture ${index + 1} of ${job.images}` : t("Open the picture"),
      }, el("span", { class: "haze", "aria-hidden": "true" }), preview);
      open.style.aspectRatio = ratio;
      this.#frames.push({ open, preview, shown: "" });
    }
    this.line = el("p", { class: "line" });
    this.bar = el("div", {
      class: "bar", role: "progressbar", "aria-label": t("Progress"), "aria-valuemin": 0, "aria-valuemax": 100,
    }, el("span"));
    this.bar.style.setProperty("--steps", Math.min(job.steps * job.images, 100));
    this.pictures = el("div", { class: `pictures n${Math.min(job.images, 4)}` },
      this.#frames.map(({ open }) => open));
    this.facts = el("div", { class: "facts" });
    this.actions = el("div", { class: "actions", role: "group", "aria-label": t("What to do with it") });
    this.remarks = el("div", { class: "remarks" }, job.remarks.map((text) => el("p", { text })));
    this.element = el("article", {
      class: isTiny(job) ? "job tiny" : "job", "aria-label": t`Picture: ${job.prompt}`, dataset: { id: job.id },
    }, this.pictures, this.bar, this.line, this.remarks, this.facts, this.actions);
    const columns = job.images === 1 ? 1 : Math.ceil(Math.sqrt(job.images));
    this.pictures.style.setProperty("--columns", columns);
    this.element.style.setProperty("--width", `${columns === 1 ? shownWidth(job)
      : Math.min(560, columns * Math.max(200, shownWidth(job) * 0.68))}px`);
    this.update(job);
  }

  update(job, engine = this.#engine) {
    this.#job = job;
    this.#engine = engine;
    const line = told(job, engine);
    this.element.dataset.status = job.status;
    this.line.textContent = line;
    const percent = Math.round(share(job) * 100);
    this.bar.firstChild.style.inlineSize = `${percent}%`;
    this.bar.setAttribute("aria-valuenow", percent);
    this.bar.setAttribute("aria-valuetext", line);
    this.bar.hidden = isFinal(job) || job.status === "held";
    for (const [index, frame] of this.#frames.entries()) this.#draw(job, index, frame);
    const state = `${job.status} ${job.is_pruned}`;
    if (state !== this.#state) {
      this.#state = state;
      this.#settle(job);
    }
    this.#speak(job, percent, line);
  }

  #draw(job, index, frame) {
    const picture = pictureOf(job, index + 1);
    // Of a job that ended early the others will never come.
    frame.open.hidden = isFinal(job) && job.pictures.length > 0 && !picture;
    if (picture) {
      if (frame.shown === picture.url) return;
      frame.shown = picture.url;
      const final = el("img", {
        class: "final", src: picture.url, alt: alternative(job, index + 1), decoding: "async",
        width: job.width, height: job.height, draggable: "true",
      });
      final.addEventListener("load", () => {
        frame.open.disabled = false;
        if (job.is_spoiler) this.#hide(frame.open);
        frame.open.classList.add("done");
      });
      final.addEventListener("error", () => frame.open.classList.add("gone"));
      frame.open.append(final);
      return;
    }
    const preview = job.previews[index];
    if (preview && frame.shown !== preview) {
      frame.shown = preview;
      frame.preview.src = preview;
      const done = job.picture > index + 1 ? 1 : job.step / job.steps;
      frame.preview.style.setProperty("--haze", `${Math.round((1 - done) * 14 + 3)}px`);
      frame.open.classList.add("growing");
    }
  }

  /** Hide a picture until somebody wants to see it. */
  #hide(open) {
    open.classList.add("spoiler");
    const cover = el("span", { class: "cover", text: t("Show") });
    const reveal = (event) => {
      event.stopImmediatePropagation();
      open.classList.remove("spoiler");
      cover.remove();
    };
    open.append(cover);
    open.addEventListener("click", reveal, { capture: true, once: true });
  }

  #settle(job) {
    const hasPictures = job.pictures.length > 0;
    this.pictures.hidden = isFinal(job) && !hasPictures;
    this.line.hidden = job.status === "succeeded" && hasPictures;
    if (job.status === "succeeded" && !hasPictures) {
      this.line.textContent = t("The picture was deleted. “Same again” draws it once more.");
    }
    this.facts.replaceChildren(...(job.status === "succeeded" ? facts(job) : []));
    const acts = this.#acts;
    this.actions.replaceChildren(...(isFinal(job)
      ? [
          button(t("Again"), "again", () => acts.again(this.#job), { title: t("Draw a new picture from the same words") }),
          ...(hasPictures || job.status !== "succeeded" ? [] : [button(t("Same again"), "again", () => acts.same(this.#job), { title: t("Draw exactly the same pixels") })]),
          button(t("Edit prompt"), "edit", () => acts.edit(this.#job)),
          ...(acts.canExpand() ? [button(t("Expand"), "again", () => acts.expand(this.#job), { title: t("See richer words for this prompt") })] : []),
          ...(!hasPictures ? [] : job.images === 1 ? pictureButtons(job, 1, acts)
            : [eachPicture(job, acts), starButton(job), saveAll(job), saveLink(t("Download grid"), job.grid, `${job.id}.png`), seedButton(job.seed)]),
        ]
      : job.status === "held" ? [] : [button(t("Cancel"), "close", () => acts.cancel(this.#job)), this.#tells()].filter(Boolean)));
  }

  /** A button that has the browser tell of the end; null where it cannot be offered. */
  #tells() {
    if (!this.#acts.canTell()) return null;
    const tells = button(t("Tell me when it is done"), "bell", async () => {
      const isGranted = await this.#acts.tell(this.#job);
      tells.replaceWith(...(isGranted ? [el("span", { class: "quiet", role: "status", text: t("You will be told") })] : []));
    });
    return tells;
  }

  /** Announce the place, the halves and the end, in few words for screen readers. */
  #speak(job, percent, line) {
    const words = job.status === "running" ? (percent >= 50 ? t("Half drawn") : t("Drawing"))
      : job.status === "succeeded" ? t`The picture is ready: ${job.prompt}` : line;
    if (words === this.#spoken) return;
    const isFirst = this.#spoken === "";
    this.#spoken = words;
    if (!(isFirst && isFinal(job))) announce(words);
  }
}

export function alternative(job, which) {
  return job.images > 1 ? t`Made by AI: ${job.prompt} (picture ${which} of ${job.images})` : t`Made by AI: ${job.prompt}`;
}

/** Short buttons for each picture of several: E edits it, U makes it larger, V varies it. */
function eachPicture(job, acts) {
  const row = (letter, label, act) => job.pictures.map(({ number }) => el("button", {
    type: "button", class: "ghost", text: `${letter}${number}`, "aria-label": t`${label} picture ${number}`,
    title: t`${label} picture ${number}`, onclick: () => act(number),
  }));
  return el("div", { class: "each", role: "group", "aria-label": t("Each picture") },
    canChange() && row("E", t("Edit"), (which) => acts.change(job, which)),
    canUpscale(job) && row("U", t("Upscale"), (which) => acts.upscale(job, which)),
    row("V", t("Vary"), (which) => acts.vary(job, "strong", which)));
}

/** Buttons for one finished picture. */
export function pictureButtons(job, which, acts) {
  return [
    button(t("Vary subtle"), "vary", () => acts.vary(job, "subtle", which), { title: t("A variation close to this picture") }),
    button(t("Vary strong"), "vary", () => acts.vary(job, "strong", which), { title: t("A variation that goes far from this picture") }),
    canChange() && button(t("Edit picture"), "wand", () => acts.change(job, which), { title: t("Say what to change in this picture") }),
    button(t("Use as control image"), "outline", () => acts.useAsControl(job, which)),
    job.is_draft && button(t("Final picture"), "upscale", () => acts.final(job, which), { title: t("The same words and seed with all steps and pixels") }),
    !job.is_draft && canUpscale(job) && button(t("Upscale"), "upscale", () => acts.upscale(job, which), { title: t("A larger version, with detail drawn in") }),
    starButton(job),
    saveLink(t("Download"), `/api/jobs/${job.id}/image?number=${which}&download=true`),
    seedButton(pictureOf(job, which).seed),
  ].filter(Boolean);
}

/** A link to a zip of all pictures of a job, each as a file of its own. */
export function saveAll(job) {
  return saveLink(t("Download all"), `/api/jobs/${job.id}/images.zip`);
}

function saveLink(label, href, name = true) {
  return el("a", { class: "ghost", href, download: name }, icon("download"), el("span", { text: label }));
}

export function seedButton(seed) {
  const made = button(t("Copy seed"), "copy", () => copy(String(seed), made), {
    class: "ghost seed", title: t`Seed ${seed}`,
  });
  return made;
}

export function facts(job) {
  const all = [
    `${job.width} × ${job.height}`,
    plural(job.num_inference_steps, "step"),
    job.images > 1 ? t`seeds from ${job.seed}` : t`seed ${job.seed}`,
    job.seconds === null ? "" : t`drawn in ${duration(job.seconds)}`,
    plural(job.cost, "credit"),
  ];
  return all.filter(Boolean).map((text) => el("span", { text }));
}

/** Jobs that were asked for together: a grid that fills as they end, with a label under each. */
export class SeriesCard {
  #jobs = new Map();
  #labels = new Map();

  constructor(id, acts) {
    this.line = el("p", { class: "line" });
    this.stop = button(t("Cancel all"), "close", () => acts.stop(id));
    this.cells = el("div", { class: "cells" });
    this.element = el("section", { class: "series", "aria-label": t("Pictures that were asked for together") },
      this.cells, el("div", { class: "foot" }, this.line, this.stop));
  }

  /** Take in *card*, the card of a job of the series; *before* the others. */
  add(job, card, before) {
    const label = el("p", { class: "label" });
    this.#labels.set(job.id, label);
    const cell = el("div", { class: "cell" }, card.element, label);
    if (before) this.cells.prepend(cell);
    else this.cells.append(cell);
    this.update(job);
  }

  update(job) {
    this.#jobs.set(job.id, job);
    const all = [...this.#jobs.values()].filter(({ id }) => this.#labels.has(id));
    const differs = (name) => new Set(all.map((each) => each[name])).size > 1;
    for (const each of all) {
      const parts = [differs("prompt") && each.prompt, differs("preset") && each.preset].filter(Boolean);
      this.#labels.get(each.id).textContent = parts.join(" · ") || t`seed ${each.seed}`;
    }
    const done = all.filter(({ status }) => status === "succeeded").length;
    this.line.textContent = t`${done} of ${all.length} are drawn`;
    this.stop.hidden = all.every(isFinal);
  }
}

/** The list of messages and answers. Jobs are found again by their id. */
export class Conversation {
  #cards = new Map();
  #series = new Map();
  #acts;
  #presets;
  #jobs;

  constructor({ acts, presets, jobs }) {
    this.#acts = acts;
    this.#presets = presets;
    this.#jobs = jobs;
    this.list = $("conversation");
    this.scroll = $("scroll");
    jobs.addEventListener("change", ({ detail: job }) => {
      for (const card of this.#cards.get(job.id) ?? []) this.#keepingEnd(() => card.update(job));
      if (job.series) this.#series.get(job.series)?.update(job);
    });
    this.scroll.addEventListener("scroll", () => this.#showToEnd(), { passive: true });
    $("to-end").addEventListener("click", () => this.toEnd());
    // Pictures arrive, and the composer grows and takes room: stay at the end if one was.
    const resizes = new ResizeObserver(() => this.#isFollowing && this.toEnd("instant"));
    for (const box of [this.list, this.scroll]) resizes.observe(box);
  }

  #isFollowing = true;
  #top = 0;
  #engine = "ready";

  /** The engine's status, which waiting cards show. */
  set engine(status) {
    this.#engine = status;
    for (const job of this.#jobs.unfinished) {
      for (const card of this.#cards.get(job.id) ?? []) card.update(job, status);
    }
  }

  get isEmpty() {
    return this.list.childElementCount === 0;
  }

  has(id) {
    return this.#cards.has(id);
  }

  /**
   * Show the person's message. `undo` takes it back if the bot refuses it; `mean` shows the
   * job that the bot understood, as it will look after a reload too; `keep` shows the words
   * and the picture alone.
   */
  say(text, { chips = [], image = null, at = null, before = false } = {}) {
    const bubble = el("li", { class: "said" });
    const show = (said, options, picture) => bubble.replaceChildren(
      el("div", { class: "bubble" },
        picture && el("img", { class: "attached", src: picture, alt: t("Attached control image") }),
        el("p", { text: said }),
        options.length > 0 && el("p", { class: "with" }, options.map((chip) => el("span", { text: chip })))),
      ...(at ? [el("time", { datetime: new Date(at * 1000).toISOString(), text: moment(at) })] : []));
    show(text, chips, image);
    this.#add(bubble, before);
    return {
      undo: () => bubble.remove(),
      keep: () => show(text, [], image),
      mean: (job) => (job ? show(job.prompt, described(job, this.#presets()), job.control && image)
        : show(text, [], null)),
    };
  }

  /** Show the card of a job, with its prompt above unless that is there already. */
  showJob(job, { said = true, before = false } = {}) {
    const card = new JobCard(job, this.#acts, this.#engine);
    this.#cards.set(job.id, [...(this.#cards.get(job.id) ?? []), card]);
    if (job.series) {
      this.#showInSeries(job, card, before);
      return card;
    }
    const answer = el("li", { class: "answer" }, card.element);
    if (before) this.#add(answer, true);
    if (said) {
      const chips = described(job, this.#presets());
      if (job.lineage) chips.unshift(job.lineage);
      if (job.is_draft) chips.unshift(t("draft"));
      this.say(job.prompt, { chips, image: job.control?.image, at: job.submitted_at, before });
    }
    if (!before) this.#add(answer);
    return card;
  }

  #showInSeries(job, card, before) {
    let series = this.#series.get(job.series);
    if (series) {
      series.add(job, card, before);
      return;
    }
    series = new SeriesCard(job.series, this.#acts);
    this.#series.set(job.series, series);
    series.add(job, card, before);
    this.#add(el("li", { class: "answer" }, series.element), before);
  }

  /** Show any other answer of the bot. */
  answer(...content) {
    const answer = el("li", { class: "answer" }, el("div", { class: "reply" }, ...content));
    this.#add(answer);
    // An answer longer than the screen is read from its beginning.
    if (answer.offsetHeight > this.scroll.clientHeight) {
      (answer.previousElementSibling ?? answer).scrollIntoView({ block: "start", behavior: "instant" });
      this.#isFollowing = false;
    }
    announce(content.map((each) => each.textContent ?? each).join(" "));
  }

  toEnd(behavior = "smooth") {
    this.#isFollowing = true;
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.scroll.scrollTo({ top: this.scroll.scrollHeight, behavior: isCalm ? "instant" : behavior });
  }

  #add(item, before = false) {
    $("welcome").hidden = true;
    if (before) this.list.prepend(item);
    else {
      this.list.append(item);
      this.toEnd("instant");
    }
  }

  #keepingEnd(action) {
    const { scrollTop, scrollHeight, clientHeight } = this.scroll;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 80;
    action();
    if (isAtEnd) this.toEnd("instant");
  }

  #showToEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroll;
    const away = scrollHeight - scrollTop - clientHeight;
    // Who scrolls up leaves the end. A picture that arrives before the event of our own scrolling
    // moves the end away too, and is followed.
    if (away < 80) this.#isFollowing = true;
    else if (scrollTop < this.#top) this.#isFollowing = false;
    this.#top = scrollTop;
    $("to-end").hidden = away < 240;
  }
}

/* Cards for the verbs. */

/** What a preset draws, for eyes alone: its name stands beside it. */
export const sampleOf = (preset) =>
  el("img", { class: "sample", src: preset.sample, alt: "", loading: "lazy", width: 56, height: 56 });

/** A button for each of *listed* (presets, LoRAs, models), with lines of *facts*; *onChoose* is given the one that is pressed. */
export function choiceTable(listed, facts, onChoose) {
  return el("div", { class: "preset-table" }, listed.map((each) =>
    el("button", { type: "button", class: each.sample ? "preset-row sampled" : "preset-row", onclick: () => onChoose(each) },
      each.sample && sampleOf(each),
      el("strong", { text: each.name }),
      el("span", { text: each.description }),
      [facts(each)].flat().map((text) => el("small", { text })))));
}

export function presetsCard(presets, onChoose) {
  return choiceTable(presets, (preset) => [preset.needs_image ? t("needs a picture") : "",
    plural(preset.num_inference_steps, "step"), `${preset.width} × ${preset.height}`].filter(Boolean).join(" · "),
  ({ name }) => onChoose(name));
}

export function quotaCard(quota) {
  const all = quota.credits + quota.granted;
  const meter = el("div", {
    class: "meter big", role: "meter", "aria-label": t("Credits left"),
    "aria-valuemin": 0, "aria-valuemax": all, "aria-valuenow": quota.left,
  }, el("span"));
  meter.firstChild.style.inlineSize = `${all ? (quota.left / all) * 100 : 0}%`;
  return el("div", { class: "quota-card" },
    el("p", {}, el("strong", { text: t`${number(quota.left)} of ${plural(all, "credit")} left` })),
    meter,
    el("p", { class: "quiet", text: quotaLine(quota) }));
}

export function quotaLine(quota) {
  const own = t`You have ${number(quota.credits)} credits in ${duration(quota.window_seconds)}.`;
  const granted = quota.granted && t`${number(quota.granted)} more are granted to you.`;
  const back = quota.resets_in !== null && t`The first come back in ${duration(quota.resets_in)}.`;
  return [own, granted, back].filter(Boolean).join(" ");
}

/** Words to say next, as chips; *say* sends them. */
export function choicesRow(choices, say) {
  return el("div", { class: "choices", role: "group", "aria-label": t("Say next") },
    choices.map(({ label, says, is_main }) => el("button", {
      type: "button", class: is_main ? "example main" : "example", text: label, onclick: () => say(says, label),
    })));
}

export function jobsCard(jobs, acts) {
  return el("ul", { class: "thumbs" }, jobs.map((job) =>
    el("li", {}, el("button", { type: "button", class: "thumb", onclick: () => acts.open(job, 1), title: job.prompt },
      job.thumbnail ? el("img", { src: job.thumbnail, alt: t`Made by AI: ${job.prompt}`, loading: "lazy", class: job.is_spoiler ? "spoiler" : "" })
        : el("span", { class: "no-thumb", text: t(job.status) }),
      el("span", { class: "thumb-text", text: job.prompt }),
      el("code", { class: "id", text: job.id })))));
}
