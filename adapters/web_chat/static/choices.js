/**
 * The options that are chosen by clicking, kept for as long as the tab. Options that a person
 * sets stay. Options that are lent to the next prompt alone go with it, and the ones before
 * come back.
 */

const STORE = "fluxbot-options";
const NAMES = ["preset", "width", "height", "num_inference_steps", "guidance_scale", "strength",
  "control_guidance_start", "control_guidance_end", "crop_x", "crop_y", "is_map", "mask", "outpaint", "loras", "images", "seed", "negative_prompt"];

export class Choices {
  values = {};
  #before = {}; // options that were replaced by lent ones; null for none

  constructor() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(STORE));
      this.values = kept?.values ?? {};
      this.#before = kept?.before ?? {};
    } catch {
      // Not our data: begin anew.
    }
  }

  /** The chosen options, for the API. */
  get chosen() {
    return Object.fromEntries(NAMES.filter((name) => this.values[name] !== undefined && this.values[name] !== "")
      .map((name) => [name, this.values[name]]));
  }

  get isLending() {
    return Object.keys(this.#before).length > 0;
  }

  set(changes) {
    for (const name of Object.keys(changes)) delete this.#before[name];
    this.#keep(changes);
  }

  lend(changes) {
    for (const name of Object.keys(changes)) {
      if (!(name in this.#before)) this.#before[name] = this.values[name] ?? null;
    }
    this.#keep(changes);
  }

  /** Lend *values*, and no choice for all other options. */
  lendAll(values) {
    this.lend({ ...Object.fromEntries(NAMES.map((name) => [name, undefined])), ...values });
  }

  /** End the lending of *names*; returns the lent options. */
  takeBack(names = NAMES) {
    const ended = names.filter((name) => name in this.#before);
    const lent = Object.fromEntries(ended.map((name) => [name, this.values[name]]));
    this.set(Object.fromEntries(ended.map((name) => [name, this.#before[name] ?? undefined])));
    return lent;
  }

  clear() {
    this.#before = {};
    this.values = {};
    this.#keep({});
  }

  #keep(changes) {
    Object.assign(this.values, changes);
    for (const name of NAMES) if (this.values[name] === undefined) delete this.values[name];
    sessionStorage.setItem(STORE, JSON.stringify({ values: this.values, before: this.#before }));
  }
}
