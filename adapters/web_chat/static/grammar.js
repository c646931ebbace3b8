/**
 * What the page itself needs to know of the grammar: where words begin, for completion
 * and colours. What a message means is decided by the bot alone.
 */

// Phones turn two hyphens into one dash.
const DASHES = /^(--|—|–)/;
export const RATIOS = [[1, 1], [3, 2], [2, 3], [16, 9], [9, 16]];

/** Words with the places where they begin and end; a quoted text is one word. */
export function words(text) {
  return [...text.matchAll(/(?:[^\s"]*"[^"]*"?)+|\S+/g)].map((match) => ({
    text: match[0],
    start: match.index,
    end: match.index + match[0].length,
  }));
}

export const isOption = (word) => DASHES.test(word);
export const optionName = (word) => word.replace(DASHES, "").split("=")[0].toLowerCase();

/** Where the text itself gives values to one of *names*: `{name, value, start, end}` each. */
function allGiven(text, names) {
  const all = words(text);
  const found = [];
  for (const [index, word] of all.entries()) {
    if (word.text === "--") break; // what stands behind it is text
    const name = optionName(word.text);
    if (!isOption(word.text) || !names.includes(name)) continue;
    const hasValue = word.text.includes("=");
    const next = hasValue || !all[index + 1] || isOption(all[index + 1].text) ? undefined : all[index + 1];
    const value = hasValue ? word.text.slice(word.text.indexOf("=") + 1) : next?.text;
    found.push({ name, value: value?.replaceAll('"', ""), start: word.start, end: (next ?? word).end });
  }
  return found;
}

const given = (text, names) => allGiven(text, names)[0];

/** The value that the text itself gives to an option; undefined without one. */
export const typed = (text, option) => given(text, [option])?.value;

/* What can be chosen by clicking, and the words that say the same. */
const WORDS = {
  preset: ["preset"],
  width: ["size", "ar", "aspect", "aspect-ratio"],
  height: ["size", "ar", "aspect", "aspect-ratio"],
  num_inference_steps: ["steps", "num-inference-steps"],
  guidance_scale: ["guidance", "cfg", "guidance-scale"],
  strength: ["strength"],
  control_guidance_start: ["control-start", "control-guidance-start"],
  control_guidance_end: ["control-end", "control-guidance-end"],
  crop_x: ["crop"],
  crop_y: ["crop"],
  mask: ["mask"],
  outpaint: ["outpaint"],
  loras: ["lora", "loras"],
  images: ["images"],
  seed: ["seed"],
  negative_prompt: ["negative", "no", "negative-prompt"],
};

/** Which of the options that can be chosen by clicking the text itself gives a value to. */
export function typedOver(text) {
  return Object.keys(WORDS).filter((name) => WORDS[name].some((word) => typed(text, word) !== undefined));
}

const SHAPES = { square: [1, 1], portrait: [3, 4], landscape: [4, 3], wide: [16, 9], tall: [9, 16] };
const PLACES = { left: [0, 0.5], right: [1, 0.5], top: [0.5, 0], bottom: [0.5, 1], center: [0.5, 0.5] };
const PARTS = ["left", "right", "top", "bottom", "center", "top-left", "top-right", "bottom-left", "bottom-right", "1,2,5"];
export const SHARES = ["25%", "50%", "100%"];
/** Options that may have a number for each of several ControlNets. */
const SEVERAL = ["strength", "control_guidance_start", "control_guidance_end"];
const numbered = (value) => (/^\d+([.,]\d+)?$/.test(value) ? Number(value.replace(",", ".")) : undefined);

/** One number, or several with commas between them; “0,5” alone is one. */
function shares(value) {
  if (!value.includes(".") && value.split(",").length < 3) return numbered(value);
  const each = value.split(",").map(numbered);
  return each.includes(undefined) ? undefined : each.length === 1 ? each[0] : each;
}

/**
 * The values that the text gives to options, as far as the page can read them, by their names for the
 * API; `ratio` is that of a shape, which leaves the number of pixels open.
 */
export function typedValues(text) {
  const values = {};
  for (const name of Object.keys(WORDS)) {
    const value = given(text, WORDS[name])?.value;
    if (value === undefined || name === "height" || name === "crop_y") continue;
    if (name === "loras") {
      values.loras = lorasTyped(allGiven(text, WORDS.loras).flatMap(({ value }) => lorasIn(value ?? "")));
      continue;
    }
    if (name === "width") {
      const size = value.match(/^(\d{2,4})[x×*](\d{2,4})$/i)?.slice(1).map(Number);
      const ratio = SHAPES[value.toLowerCase()] ?? value.match(/^(\d{1,4})[:/](\d{1,4})$/)?.slice(1).map(Number);
      if (size) [values.width, values.height] = size;
      else if (ratio) values.ratio = ratio;
    } else if (name === "crop_x") {
      const place = PLACES[value.toLowerCase()] ?? value.split(",").map(numbered);
      if (place.length === 2 && place.every((share) => share <= 1)) [values.crop_x, values.crop_y] = place;
    } else if (["preset", "mask", "outpaint"].includes(name)) {
      values[name] = value.toLowerCase();
    } else {
      const said = name === "negative_prompt" ? value : SEVERAL.includes(name) ? shares(value) : numbered(value);
      if (said !== undefined) values[name] = said;
    }
  }
  return values;
}

/** LoRAs as they are typed, "ink:0.8,slow": `{name, weight}` each; without a weight undefined. */
export function lorasIn(value) {
  return value.split(",").map((part) => part.trim().toLowerCase().split(":").map((piece) => piece.trim()))
    .filter(([name]) => name && name !== "none")
    .map(([name, weight]) => ({ name, weight: weight && Number.isFinite(Number(weight)) ? Number(weight) : undefined }));
}

/** The inverse; undefined for none. */
export const lorasTyped = (loras) =>
  loras.map(({ name, weight }) => (weight === undefined ? name : `${name}:${weight}`)).join(",") || undefined;

/**
 * The text, in which the options that it gives itself have the values of *changes* (by their names
 * for the API; undefined takes one away), and the names of these.
 */
export function retyped(text, changes) {
  const names = Object.keys(changes).filter((name) => given(text, WORDS[name] ?? []));
  for (const name of names) {
    const found = given(text, WORDS[name]); // the first of a pair has changed both
    if (!found || name === "height" || name === "crop_y") continue;
    const value = name === "width" ? changes.width && `${changes.width}x${changes.height}`
      : name === "crop_x" ? changes.crop_x !== undefined && `${changes.crop_x},${changes.crop_y}`
      : name === "negative_prompt" ? changes[name] && `"${changes[name].replaceAll(/["\\]/g, "\\$&")}"`
      : changes[name];
    const option = name === "width" ? "size" : found.name;
    // Another value of the same option adds to this one.
    for (const more of name === "loras" ? allGiven(text, WORDS.loras).slice(1).reverse() : []) {
      text = `${text.slice(0, more.start).trimEnd()}${text.slice(more.end)}`;
    }
    const isKept = value !== undefined && value !== false;
    const after = text.slice(found.end);
    text = isKept ? `${text.slice(0, found.start)}--${option} ${value}${after}`
      : `${text.slice(0, found.start).trimEnd()}${/\S/.test(after) ? ` ${after.trimStart()}` : ""}`;
  }
  return { text, names };
}

/**
 * Width and height of a shape with about so many pixels, in multiples of 16, as the bot finds them:
 * a shape that is off by one per cent counts as much as a number of pixels that is off by four.
 */
export function sizeOf([across, down], pixels) {
  if (across < down) return sizeOf([down, across], pixels).reverse();
  let nearest = null;
  for (let width = 64; width <= 2048; width += 16) {
    const below = Math.floor((width * down) / across / 16) * 16;
    for (const height of [below, below + 16].map((each) => Math.min(2048, Math.max(64, each)))) {
      const shape = Math.abs(Math.log((width * down) / (height * across)));
      const distance = 4 * shape + Math.abs(Math.log((width * height) / pixels));
      if (!nearest || distance < nearest.distance) nearest = { size: [width, height], distance };
    }
  }
  return nearest.size;
}

/**
 * What could stand at the caret: `{start, end, items: [{insert, label, hint}], isSure}`, or null.
 * `isSure`: the first may be taken with Enter, because nothing else makes sense here and none of
 * them is there already.
 */
export function complete(text, caret, { verbs, options, presets, loras = [], recent }) {
  const start = text.slice(0, caret).search(/\S*$/);
  const before = text.slice(start, caret);
  const end = caret + text.slice(caret).search(/\s|$/);
  const previous = words(text.slice(0, start)).at(-1)?.text ?? "";
  const pick = (items, part, isSure, from = start) => {
    const found = items.filter((item) => item.label.toLowerCase().startsWith(part.toLowerCase()));
    const isWritten = found.some(({ label }) => label === part);
    if (!found.length || (isWritten && found.length === 1)) return null;
    return { start: from, end, items: found.slice(0, 9), isSure: isSure && !isWritten };
  };
  const values = (option) => {
    if (option === "preset") {
      return presets.map(({ name, description }) => ({ insert: name, label: name, hint: description }));
    }
    if (option === "lora") {
      return loras.map(({ name, description, lora_scale: weight }) => ({
        insert: `${name}:${weight}`, label: `${name}:${weight}`, hint: description,
      }));
    }
    if (option === "ar") {
      return RATIOS.map((ratio) => ({ insert: ratio.join(":"), label: ratio.join(":"), hint: "" }));
    }
    if (option === "mask") return PARTS.map((part) => ({ insert: part, label: part, hint: "" }));
    if (option === "outpaint") return SHARES.map((share) => ({ insert: share, label: share, hint: "" }));
    if (option === "size") {
      const { width, height } = presets[0] ?? { width: 256, height: 256 };
      return RATIOS.map((ratio) => {
        const size = sizeOf(ratio, width * height).join("x");
        return { insert: size, label: size, hint: ratio.join(":") };
      });
    }
    return [];
  };

  if (isOption(before)) {
    if (before.includes("=")) {
      const part = before.split("=")[1];
      return pick(values(optionName(before)), part, true, start + before.indexOf("=") + 1);
    }
    const used = new Set(words(text.slice(0, start)).filter(({ text }) => isOption(text))
      .map(({ text }) => optionName(text)));
    const items = options.filter(({ word }) => !used.has(word) || word === "lora").map(({ word, hint, example }) => ({
      insert: `--${word}`, label: `--${word}`, hint, example,
    }));
    return pick(items, before.replace(DASHES, "--"), true);
  }
  if (isOption(previous) && !previous.includes("=")) {
    return pick(values(optionName(previous)), before, true);
  }
  const isFirst = text.slice(0, start).trim() === "";
  if (isFirst && before.length >= 2) {
    return pick(verbs.map(({ word, hint }) => ({ insert: word, label: word, hint })), before, false);
  }
  if (["show", "again", "upscale", "cancel"].includes(text.slice(0, start).trim().toLowerCase())) {
    return pick(recent.map(({ id, prompt }) => ({ insert: id, label: id, hint: prompt })), before, false);
  }
  return null;
}
