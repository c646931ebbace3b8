/**
 * Options chosen by clicking: the drawer, the chips under the message, the control image
 * with its map, and the price of the request. Nothing here spends credits.
 */

import { $, debounce, duration, el, icon, plural } from "./dom.js";
import { api } from "./api.js";
import { beside, named, nextOf, showPicture, showReading, takesMap } from "./attachment.js";
import { Choices } from "./choices.js";
import { sampleOf } from "./conversation.js";
import { kept } from "./cropping.js";
import { RATIOS, SHARES, retyped, sizeOf, typed, typedOver, typedValues } from "./grammar.js";
import { fitTogether, readPicture } from "./reading.js";
import { t } from "./languages.js";
import { LoraCards } from "./loras.js";
import { Mask, paint } from "./masking.js";

const CROP = ["crop_x", "crop_y"];
/** Options that go with the picture. */
const OF_PICTURE = [...CROP, "is_map"];
/** Options that are chosen together, by the first of them. */
const PAIRS = { width: ["width", "height"], crop_x: CROP };

/** What `strength` sets of a preset: how far from the picture, or how firmly along it; null for nothing. */
const strengthOf = (preset) => preset.strength ?? preset.controlnet_conditioning_scale;
const listed = (value) => (Array.isArray(value) ? value.join(", ") : value);

export class Options {
  #presets = [];
  #default = "";
  #limits = {};
  #reading = null; // the file that was chosen last
  #verbs = [];
  #fit = "crop";
  #drawn = null; // width and height of what would be drawn, as the bot says
  #quoted = ""; // what the price that is shown was asked for
  #files = { bytes: 1e7, side: 2048 };
  #said = ""; // which options the message itself gives
  #forPictures = ""; // the preset that was last chosen for a picture
  #asking = {};
  #choices = new Choices();
  #text = () => "";
  #onError;
  #onChange;
  #onUse;
  #onRetype;
  #engine = "ready";
  loras = new LoraCards((loras) => this.set({ loras }));
  image = null; // as it was read, with the map, remarks or error of its preset

  /**
   * *onUse* is given what an attached picture says about how it was made, once somebody wants that,
   * and *onRetype* the message with a typed option that was changed in the form.
   */
  constructor({ text, onError, onChange, onUse, onRetype }) {
    this.#text = text;
    this.#onError = onError;
    this.#onChange = onChange;
    this.#onUse = onUse;
    this.#onRetype = onRetype;
    this.#wire();
  }

  configure({ presets, loras, default: first }, about) {
    const isReload = this.#presets.length === 0;
    this.#presets = presets;
    this.#default = first;
    this.#limits = about.limits;
    this.#files = { bytes: about.max_image_bytes, side: about.max_image_side };
    this.#verbs = about.verbs.map(({ word }) => word);
    this.#fit = about.fit;
    if (!presets.some(({ name }) => name === this.#chosen.preset)) this.#choices.set({ preset: undefined });
    // The picture did not survive the reload, and its preset is of no use without it.
    if (isReload) this.#leavePicturePreset();
    $("steps").max = about.limits.num_inference_steps;
    $("preset-cards").replaceChildren(...presets.map((preset) => this.#presetCard(preset)));
    this.loras.configure(loras);
    $("ratios").replaceChildren(...RATIOS.map((ratio) => this.#ratioButton(ratio)));
    const counts = Array.from({ length: Math.min(about.limits.images, 6) }, (_, index) => index + 1);
    $("outpaint").replaceChildren(...[undefined, ...SHARES].map((share) => segment("outpaint", share ?? "",
      share ?? t("no"), () => this.set({ outpaint: share, ...(share ? { width: undefined, height: undefined } : {}) }))));
    $("images").replaceChildren(...counts.map((count) => segment("images", String(count), String(count),
      () => this.set({ images: count === 1 ? undefined : count }))));
    this.#render();
    this.refreshQuote();
  }

  /** The engine's status; unless it is ready, no start is promised. */
  set engine(status) {
    this.#engine = status;
    this.refreshQuote();
  }

  get presets() {
    return this.#presets;
  }

  /** The preset that a message sent now would use: typed options win over clicked ones. */
  get preset() {
    const named = [this.#values.preset, this.#chosen.preset, this.#default];
    return named.map((name) => this.#presets.find((preset) => preset.name === name)).find(Boolean)
      ?? this.#presets[0];
  }

  /** The size that a message sent now would have, in pixels; null where the picture decides. */
  get #size() {
    const { width, height, ratio } = this.#values;
    if (ratio) return sizeOf(ratio, this.preset.width * this.preset.height);
    if (width || height) return [width || this.preset.width, height || this.preset.height];
    return null;
  }

  /** What was chosen by clicking. */
  get #chosen() {
    return this.#choices.values;
  }

  /** What a message sent now would say: options in its text win over the clicked ones. */
  get #values() {
    const said = typedValues(this.#text());
    const clicked = said.ratio ? { ...this.#chosen, width: undefined, height: undefined } : this.#chosen;
    return { ...clicked, ...said };
  }

  /** What was clicked, as far as it means something to the preset. */
  get #meant() {
    const meant = this.#choices.chosen;
    const { preset } = this;
    const without = [
      ...(strengthOf(preset) === null ? ["strength"] : []),
      ...(preset.control_guidance_start === null ? ["control_guidance_start", "control_guidance_end"] : []),
      ...(preset.needs_image && this.image && preset.mask_feather === null ? [] : ["crop_x", "crop_y"]),
      ...(this.image && takesMap(preset) ? [] : ["is_map"]),
      ...(preset.mask_feather === null ? ["mask", "outpaint"] : []),
    ];
    for (const name of without) delete meant[name];
    if (meant.loras) meant.loras = this.loras.fitting(meant.loras, preset);
    return meant;
  }

  /** Choose by clicking. Where the message says the same by itself, its words change instead. */
  set(changes) {
    const isSize = "width" in changes || "height" in changes;
    const [width, height] = (isSize && this.#size) || [this.preset?.width, this.preset?.height];
    const whole = isSize && (changes.width ?? changes.height) !== undefined ? { width, height, ...changes } : changes;
    const { text, names } = retyped(this.#text(), whole);
    this.#choices.set({ ...changes, ...Object.fromEntries(names.map((name) => [name, undefined])) });
    if (names.length) this.#onRetype(text);
    this.#render();
    this.#onChange();
    if (["preset", "width", "height", "crop_x", "is_map"].some((name) => name in changes)) this.#mapSoon();
    this.refreshQuote();
  }

  /** Show the options that the changed message has itself, instead of the clicked ones. */
  follow() {
    const said = JSON.stringify([this.preset?.name, typedOver(this.#text())]);
    if (said !== this.#said) this.#render();
    this.#said = said;
    if (this.image && this.image.preset !== this.preset.name) this.#mapSoon();
    this.refreshQuote();
  }

  /** Fill in *values* and nothing else, for the next prompt alone. */
  lend(values) {
    this.#leave();
    this.#choices.lendAll({ ...values, preset: this.#unlessDefault(values.preset) });
    this.set({});
    this.#mapSoon();
  }

  /** The options and the picture for a message; options that were lent leave with it. */
  take() {
    const taken = { chosen: this.#meant, image: this.image, ...beside(this.image, this.preset), lent: this.#leave() };
    this.set({});
    return taken;
  }

  #leave() {
    const crop = this.image ? this.#choices.takeBack(OF_PICTURE) : {};
    this.#drop();
    return { ...this.#choices.takeBack(), ...crop };
  }

  /** Put back options that were taken and not used, unless new ones stand in their place. */
  putBack({ lent, image }) {
    if (this.image || this.#choices.isLending) return;
    this.image = image;
    this.#choices.lend(lent);
    this.set({});
    if (!image?.map) this.#map();
  }

  reset() {
    this.#choices.clear();
    this.detach();
  }

  /** Choose by hand. A preset that takes a picture is chosen for that picture alone. */
  choosePreset(name) {
    const preset = this.#unlessDefault(name);
    if (!this.#takesPicture(name) || typed(this.#text(), "preset")) {
      this.set({ preset });
      return;
    }
    this.#forPictures = name;
    this.#choices.lend({ preset });
    this.set({});
    this.#mapSoon();
  }

  #takesPicture(name) {
    return this.#presets.some((preset) => preset.name === name && preset.needs_image);
  }

  #unlessDefault(preset) {
    return preset === this.#default ? undefined : preset;
  }

  /* The control image. */

  /**
   * Attach a file. Chooses a preset that takes one, if the current one does not. Unless *isKnown*,
   * a picture that says how it was made is asked for it, and that is offered. *crop* is `[x, y]` of
   * the part that is kept, *mask* an image of what was drawn of it; *isMap* says that it is a map.
   */
  async attach(file, { isKnown = false, crop = null, mask = null, isMap = false } = {}) {
    this.#reading = file;
    showReading(file.name);
    let image;
    try {
      image = await readPicture(file, this.#files);
    } catch (error) {
      this.#renderImage();
      this.#onError(error.message);
      return;
    }
    if (this.#reading !== file) return; // another was chosen meanwhile
    this.#drop();
    this.image = image;
    if (mask && image.width) image.mask = new Mask(image, mask);
    if (isMap) this.#choices.lend({ is_map: true });
    if (crop) this.#choices.lend({ crop_x: crop[0], crop_y: crop[1] });
    if (image.mayTell && !isKnown) this.#inspect(image);
    if (!this.#takesPicture(this.#chosen.preset ?? this.#default)) {
      const takers = this.#presets.filter((preset) => preset.needs_image);
      const taker = takers.find(({ name }) => name === this.preset.name)
        ?? takers.find(({ name }) => name === this.#forPictures) ?? takers.find((preset) => preset.controlnet) ?? takers[0];
      if (taker) this.#choices.lend({ preset: taker.name });
    }
    this.set({});
    this.#map();
  }

  async #inspect(image) {
    const found = await api.inspect(image.original).catch(() => null);
    if (!found?.prompt) return;
    image.found = found;
    if (this.image === image) this.#renderImage();
  }

  detach() {
    this.#reading = null;
    this.#drop();
    this.#leavePicturePreset();
    this.set({});
  }

  #leavePicturePreset() {
    if (this.#takesPicture(this.#chosen.preset)) this.#choices.takeBack(["preset"]);
  }

  #drop() {
    this.image = null;
    this.#choices.set(Object.fromEntries(OF_PICTURE.map((name) => [name, undefined])));
    this.#asking.map?.abort();
    $("file").value = "";
  }

  /** Let the person paint which part of the picture is drawn anew. */
  paint() {
    const image = this.image;
    if (!image?.width || this.preset.mask_feather === null) return;
    paint(image, this.preset.mask_feather, (mask) => {
      image.mask = mask;
      this.#renderImage();
      $("message").focus();
    });
  }

  #mapSoon = debounce(150, () => this.#map());

  /** Show the control map that the preset makes of the picture. */
  async #map() {
    const image = this.image;
    const preset = this.preset;
    if (!image || !preset?.needs_image) return;
    if (preset.mask_feather !== null && image.width !== null) {
      Object.assign(image, { preset: preset.name, map: null, remarks: [], error: null, isWaiting: false });
      this.#renderImage();
      return;
    }
    this.#asking.map?.abort();
    const asking = new AbortController();
    this.#asking.map = asking;
    const [width, height] = this.#size ?? [];
    const [x, y] = this.#cropAt;
    if (image.preset !== preset.name) Object.assign(image, { map: null, remarks: [], error: null });
    Object.assign(image, { preset: preset.name, isWaiting: true });
    this.#renderImage();
    try {
      const pictures = { image: image.url, ...named(nextOf(image, preset)) };
      const answer = await api.controlMap({ ...pictures, preset: preset.name, width, height, crop_x: x, crop_y: y, is_map: this.#isMap }, asking.signal);
      Object.assign(image, { map: answer.image, remarks: answer.remarks, error: null });
    } catch (error) {
      if (error.name === "AbortError") return;
      Object.assign(image, { map: null, remarks: [], error: error.message });
    }
    image.isWaiting = false;
    this.#renderImage();
  }

  /* The price. */

  refreshQuote = debounce(250, () => this.#quote());

  async #quote() {
    if (!this.preset) return;
    if (this.preset.needs_image && !this.image) {
      this.#quoted = "";
      this.#showQuote({ whole: t`${this.preset.name} needs a control image` });
      return;
    }
    const body = this.#asked;
    const asked = JSON.stringify(body);
    this.#asking.quote?.abort();
    const asking = new AbortController();
    this.#asking.quote = asking;
    try {
      this.#tell(await api.quote(body, asking.signal));
      this.#quoted = asked;
    } catch (error) {
      if (error.name !== "AbortError") this.#showQuote({ whole: error.status === 0 || error.field === "text" ? "" : error.message });
    }
  }

  /** The request whose price is shown. */
  get #asked() {
    const text = this.#text();
    const [first] = text.trim().toLowerCase().split(/\s/);
    // Other words have the same price, whatever they are.
    const isPlain = !/[{}—–\\]|--/.test(text) && !this.#verbs.includes(first.replace("/", "")) && !/^same\b/.test(first);
    const isUsed = this.image && (this.preset.needs_image || typed(text, "presets"));
    const { width, height, url } = this.image ?? {};
    return {
      ...this.#meant,
      text: isPlain ? undefined : text,
      ...(isUsed && (width === null ? { image: url } : { image_width: width, image_height: height })),
      ...(isUsed && nextOf(this.image, this.preset).length && { pictures: nextOf(this.image, this.preset).length + 1 }),
    };
  }

  #tell({ cost, seconds, starts_in: wait, left, is_relaxed: isRelaxed, pictures, width, height }) {
    const drawn = `${pictures > 1 ? `${plural(pictures, "picture")}, ` : ""}${width} × ${height}`;
    this.#drawn = { width, height };
    this.#renderImage();
    if (isRelaxed) {
      this.#showQuote({ drawn, brief: t("relaxed"), whole: `${drawn} · ${t("Relaxed: drawn when nobody else waits, at no charge")}` });
      return;
    }
    const parts = [
      drawn,
      plural(cost, "credit"),
      seconds !== null && t`about ${duration(seconds)}`,
      wait !== null && this.#engine === "ready" && (wait < 1 ? t("starts at once") : t`starts in ${duration(wait)}`),
      cost > left && t`you have ${plural(left, "credit")}`,
    ];
    this.#showQuote({ drawn, brief: plural(cost, "credit"), whole: parts.filter(Boolean).join(" · ") });
  }

  #showQuote({ drawn = "", brief = "", whole }) {
    $("drawn").textContent = drawn;
    $("cost").textContent = brief;
    $("quote").textContent = whole;
  }

  /* The part of the picture that is kept. */

  /** Whether the picture is the control map itself, as it was clicked or typed. */
  get #isMap() {
    return takesMap(this.preset) && (this.#values.is_map === true || typed(this.#text(), "map") !== undefined);
  }

  /** Where the picture is cropped: `[x, y]`, 0 to 1. */
  get #cropAt() {
    const { crop_x: x = 0.5, crop_y: y = 0.5 } = this.#values;
    return [x, y];
  }

  /** The frame over the picture: `{size, at, onMove}`; null where all of it is used. */
  get #crop() {
    const isFramed = this.image?.width && this.#drawn && this.preset.needs_image && !this.preset.enlarges && this.preset.mask_feather === null && this.#fit === "crop";
    if (!isFramed || !kept(this.image, this.#drawn).isCropped) return null;
    return { size: this.#drawn, at: this.#cropAt, onMove: ([x, y]) => this.set({ crop_x: x, crop_y: y }) };
  }

  /* The drawer. */

  #wire() {
    const on = (id, action) => $(id).addEventListener("input", () => action($(id)));
    on("steps", ({ value }) => this.set({ num_inference_steps: Number(value) }));
    on("guidance", ({ value }) => this.set({ guidance_scale: Number(value) }));
    on("strength", ({ value }) => this.set({ strength: Number(value) }));
    on("control-start", ({ value }) => this.set({ control_guidance_start: Number(value) }));
    on("control-end", ({ value }) => this.set({ control_guidance_end: Number(value) }));
    on("negative", ({ value }) => this.set({ negative_prompt: value.trim() ? value : undefined }));
    on("seed", ({ value, validity }) => {
      if (validity.valid) this.set({ seed: value === "" ? undefined : Number(value) });
    });
    for (const id of ["width", "height"]) {
      $(id).addEventListener("change", () => {
        const pixels = Math.round(Number($(id).value) / 16) * 16;
        this.set({ [id]: $(id).value === "" ? undefined : Math.max(64, Math.min(2048, pixels)), outpaint: undefined });
      });
    }
    $("seed-clear").addEventListener("click", () => this.set({ seed: undefined }));
    $("options-reset").addEventListener("click", () => this.reset());
    $("options-form").addEventListener("submit", (event) => event.preventDefault());
    $("file").addEventListener("change", ({ target }) => target.files[0] && this.attach(target.files[0]));
    $("attach").addEventListener("click", () => $("file").click());
  }

  #presetCard(preset) {
    return el("label", { class: preset.sample ? "preset-card sampled" : "preset-card" },
      preset.sample && sampleOf(preset),
      el("input", { type: "radio", name: "preset", value: preset.name, onchange: () => this.choosePreset(preset.name) }),
      el("strong", { text: preset.name }),
      el("span", { text: preset.description }),
      preset.needs_image && el("small", {}, icon("image"), t("needs a picture")));
  }

  #ratioButton(ratio) {
    const made = segment("ratio", ratio.join(":"), ratio.join(":"), () => {
      const [width, height] = sizeOf(ratio, this.preset.width * this.preset.height);
      const isOwn = width === this.preset.width && height === this.preset.height && !this.image;
      this.set({ ...(isOwn ? { width: undefined, height: undefined } : { width, height }), outpaint: undefined });
    });
    const shape = el("i", { "aria-hidden": "true" });
    shape.style.aspectRatio = ratio.join(" / ");
    if (ratio[0] >= ratio[1]) shape.style.inlineSize = "1.1em";
    else shape.style.blockSize = "1.1em";
    made.querySelector("span").prepend(shape);
    return made;
  }

  #render() {
    const preset = this.preset;
    if (!preset) return;
    const values = this.#values;
    for (const input of $("preset-cards").querySelectorAll("input")) {
      input.checked = input.value === preset.name;
    }
    const [width, height] = this.#size ?? [preset.width, preset.height];
    for (const input of $("ratios").querySelectorAll("input")) {
      const [across, down] = sizeOf(input.value.split(":").map(Number), width * height);
      input.checked = across === width && down === height && !(this.image && !this.#size);
    }
    for (const input of $("images").querySelectorAll("input")) {
      input.checked = Number(input.value) === (values.images ?? 1);
    }
    const show = (id, value, shown = value) => {
      if (document.activeElement !== $(id) || $(id).type === "range") $(id).value = value;
      const output = $(`${id}-value`);
      if (output) output.textContent = shown;
    };
    show("width", this.#size ? width : "");
    show("height", this.#size ? height : "");
    $("width").placeholder = this.image ? t("as it is") : preset.width;
    $("height").placeholder = this.image ? t("as it is") : preset.height;
    show("steps", values.num_inference_steps ?? preset.num_inference_steps);
    show("guidance", values.guidance_scale ?? preset.guidance_scale);
    // A slider moves all of several ControlNets; until then each has its own number.
    const showShares = (id, value) => show(id, Array.isArray(value) ? value[0] : value, listed(value));
    showShares("strength", values.strength ?? strengthOf(preset) ?? 0.7);
    showShares("control-start", values.control_guidance_start ?? preset.control_guidance_start ?? 0);
    showShares("control-end", values.control_guidance_end ?? preset.control_guidance_end ?? 1);
    show("seed", values.seed ?? "");
    show("negative", values.negative_prompt ?? "");
    $("strength-row").hidden = strengthOf(preset) === null;
    $("strength-help").textContent = preset.strength === null ? t("How firmly to follow your picture.") : t("How far to change your picture.");
    $("outpaint-row").hidden = preset.mask_feather === null;
    for (const input of $("outpaint").querySelectorAll("input")) input.checked = input.value === (values.outpaint ?? "");
    this.loras.render(values.loras, preset);
    $("span-row").hidden = preset.control_guidance_start === null;
    this.#renderChips();
    this.#renderImage();
  }

  #renderChips() {
    const values = this.#meant;
    const isTyped = typedOver(this.#text());
    const chips = [
      ["preset", values.preset && values.preset !== this.#default && values.preset],
      ["width", this.#size && this.#size.join(" × ")],
      ["num_inference_steps", values.num_inference_steps && plural(values.num_inference_steps, "step")],
      ["guidance_scale", values.guidance_scale !== undefined && t`guidance ${values.guidance_scale}`],
      ["strength", values.strength !== undefined && t`strength ${listed(values.strength)}`],
      ["control_guidance_start", values.control_guidance_start !== undefined && t`from ${listed(values.control_guidance_start)}`],
      ["control_guidance_end", values.control_guidance_end !== undefined && t`until ${listed(values.control_guidance_end)}`],
      ["mask", values.mask],
      ["outpaint", values.outpaint && t`continued by ${values.outpaint}`],
      ["loras", values.loras?.replaceAll(",", ", ")],
      ["crop_x", values.crop_x !== undefined && t("cropped")],
      ["is_map", values.is_map && t("as a map")],
      ["images", values.images && plural(values.images, "picture")],
      ["seed", values.seed !== undefined && t`seed ${values.seed}`],
      ["negative_prompt", values.negative_prompt && t`without ${values.negative_prompt}`],
    ].filter(([name, label]) => label && !isTyped.includes(name));
    $("chips").replaceChildren(...chips.map(([name, label]) => el("li", { class: "chip" },
      el("span", { text: label }),
      el("button", {
        type: "button", "aria-label": t`Remove ${label}`,
        onclick: () => {
          this.set(Object.fromEntries((PAIRS[name] ?? [name]).map((each) => [each, undefined])));
          $("message").focus();
        },
      }, icon("close")))));
    $("options-button").classList.toggle("has", chips.length > 0);
  }

  #renderImage() {
    showPicture(this.image, this.preset, {
      onRemove: () => this.detach(), onChoose: () => $("file").click(), onUse: this.#onUse, onPaint: () => this.paint(),
      onAdd: () => this.#addPicture(), onRemoveNext: (index) => this.#setNext(this.image.next.toSpliced(index, 1)),
      crop: this.#crop, isMap: this.#isMap, onMap: () => this.set({ is_map: !this.#isMap || undefined }),
    });
  }

  /** Let the person choose a picture that comes after the others. */
  #addPicture() {
    const input = el("input", { type: "file", accept: $("file").accept });
    input.addEventListener("change", () => input.files[0] && this.addNext([input.files[0]]));
    input.click();
  }

  /** Attach *files* after the picture that is there. */
  async addNext(files) {
    const image = this.image;
    try {
      const read = [];
      for (const file of files) read.push(await readPicture(file, this.#files));
      const next = [...nextOf(image, this.preset), ...read];
      await fitTogether([image, ...next], this.#files);
      if (this.image === image) this.#setNext(next);
    } catch (error) {
      this.#onError(error.message);
    }
  }

  #setNext(next) {
    this.image.next = next;
    this.set({});
    this.#map();
  }
}

function segment(name, value, label, onchange) {
  return el("label", { class: "segment" }, el("input", { type: "radio", name, value, onchange }), el("span", {}, label));
}
