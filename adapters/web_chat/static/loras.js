/** LoRAs: a card for each with a slider for its weight in the form, and the answer that lists them. */

import { $, el } from "./dom.js";
import { choiceTable, sampleOf } from "./conversation.js";
import { lorasIn, lorasTyped } from "./grammar.js";
import { t } from "./languages.js";

export class LoraCards {
  #loras = [];
  #chosen = [];
  #onChange;

  /** *onChange* is given what is chosen, as it is typed; undefined for none. */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  get all() {
    return this.#loras;
  }

  configure(loras) {
    this.#loras = loras;
    $("loras").replaceChildren(...loras.map((lora) => this.#card(lora)));
  }

  /** Those of *value* that *preset* takes, as they are typed; undefined for none. */
  fitting(value, preset) {
    const fits = ({ name }) => this.#loras.find((lora) => lora.name === name)?.presets.includes(preset.name) ?? preset.takes_loras;
    return lorasTyped(lorasIn(value).filter(fits));
  }

  /** Show *value*, as it is typed, as chosen, among those that *preset* takes. */
  render(value, preset) {
    this.#chosen = lorasIn(value ?? "");
    $("loras-row").hidden = !this.#loras.some(({ presets }) => presets.includes(preset.name));
    for (const card of $("loras").children) {
      const lora = this.#loras.find(({ name }) => name === card.dataset.name);
      card.hidden = !lora.presets.includes(preset.name);
      const found = this.#chosen.find(({ name }) => name === lora.name);
      const weight = found?.weight ?? lora.lora_scale;
      card.querySelector("[name=lora]").checked = Boolean(found);
      card.querySelector(".slider").hidden = !found;
      card.querySelector("[type=range]").value = weight;
      card.querySelector("output").textContent = weight;
    }
  }

  /** Choose the LoRA *name* with *weight*, or not, for null. */
  choose(name, weight) {
    const changed = this.#chosen.map((each) => (each.name === name ? { name, weight } : each));
    if (!changed.some((each) => each.name === name)) changed.push({ name, weight });
    this.#onChange(lorasTyped(changed.filter((each) => each.weight !== null)));
  }

  #card(lora) {
    const { name, min_lora_scale: min, max_lora_scale: max } = lora;
    const words = lora.trigger_words.join(", ");
    return el("div", { class: "lora-card", "data-name": name },
      el("label", { class: lora.sample ? "preset-card sampled" : "preset-card" },
        lora.sample && sampleOf(lora),
        el("input", { type: "checkbox", name: "lora", value: name, onchange: ({ target }) => this.choose(name, target.checked ? lora.lora_scale : null) }),
        el("strong", { text: name }),
        el("span", { text: lora.description }),
        words && el("small", { text: t`adds ${words}` })),
      el("div", { class: "slider" },
        el("label", { for: `lora-${name}`, text: t`Weight of ${name}` }, el("output", {})),
        el("input", { type: "range", id: `lora-${name}`, min, max, step: 0.05, oninput: ({ target }) => this.choose(name, Number(target.value)) })));
  }
}

/** The answer to `loras`; *onChoose* is given the one that is pressed. */
export function lorasCard(loras, onChoose) {
  const takers = new Set(loras.flatMap(({ presets }) => presets));
  return choiceTable(loras, (lora) => [
    t`weight ${lora.lora_scale}, from ${lora.min_lora_scale} to ${lora.max_lora_scale}`,
    ...(lora.presets.length < takers.size ? [t`presets: ${lora.presets.join(", ")}`] : []),
  ], onChoose);
}
