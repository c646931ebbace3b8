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

/** The value that the text itself gives to an option; undefined without one. */
export function typed(text, option) {
  const all = words(text);
  for (const [index, word] of all.entries()) {
    if (!isOption(word.text) || optionName(word.text) !== option) continue;
    const value = word.text.includes("=") ? word.text.split("=")[1] : all[index + 1]?.text;
    return value?.replaceAll('"', "");
  }
  return undefined;
}

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
  images: ["images"],
  seed: ["seed"],
  negative_prompt: ["negative", "no", "negative-prompt"],
};

/** Which of the options that can be chosen by clicking the text itself gives a value to. */
export function typedOver(text) {
  return Object.keys(WORDS).filter((name) => WORDS[name].some((word) => typed(text, word) !== undefined));
}

/** Width and height of a shape with about so many pixels, in multiples of 16. */
export function sizeOf([across, down], pixels) {
  const whole = (value) => Math.max(64, Math.round(value / 16) * 16);
  return [whole(Math.sqrt((pixels * across) / down)), whole(Math.sqrt((pixels * down) / across))];
}

/**
 * What could stand at the caret: `{start, end, items: [{insert, label, hint}], isSure}`, or null.
 * `isSure`: the first may be taken with Enter, because nothing else makes sense here.
 */
export function complete(text, caret, { verbs, options, presets, recent }) {
  const start = text.slice(0, caret).search(/\S*$/);
  const before = text.slice(start, caret);
  const end = caret + text.slice(caret).search(/\s|$/);
  const previous = words(text.slice(0, start)).at(-1)?.text ?? "";
  const pick = (items, part, isSure, from = start) => {
    const found = items.filter((item) => item.label.toLowerCase().startsWith(part.toLowerCase()));
    const isWritten = found.length === 1 && found[0].label === part;
    return found.length && !isWritten ? { start: from, end, items: found.slice(0, 9), isSure } : null;
  };
  const values = (option) => {
    if (option === "preset") {
      return presets.map(({ name, description }) => ({ insert: name, label: name, hint: description }));
    }
    if (option === "ar") {
      return RATIOS.map((ratio) => ({ insert: ratio.join(":"), label: ratio.join(":"), hint: "" }));
    }
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
    const items = options.filter(({ word }) => !used.has(word)).map(({ word, hint, example }) => ({
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
