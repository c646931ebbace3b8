/** Pictures from a person's files: made small enough to be sent, and asked how they were made. */

import { el } from "./dom.js";
import { lorasIn, lorasTyped } from "./grammar.js";
import { t } from "./languages.js";

/** Longest side in pixels that a picture is made smaller to at the most. */
const LEAST = 64;
/** Quality of a JPEG that is made here, 0 to 1. */
const QUALITY = 0.92;
/** Bytes at either end of a file among which words about how it was made are looked for. */
const ENDS = 128 * 1024;
/** Words that stand in the files of programs which write down how they draw. */
const MARKS = /fluxbot|parameters|workflow|Negative prompt/;

/**
 * `{url, original, file, name, width, height, mayTell}` of a picture's *file*. `url` is no larger than
 * *limits* (`bytes` and `side`, the longest in pixels) allow: a file within them stays as it is, with
 * all that it says about itself, and another is drawn anew, upright. `original` is the file itself,
 * where it has not too many bytes to be asked for that, and `mayTell` whether it may have an answer.
 * `width` and `height` are those of `url`; null where the browser cannot decode the file, and the bot
 * has to say whether it can. Throws an Error with a sentence for the person.
 */
export async function readPicture(file, limits) {
  // Types may be wrong or missing: the bot judges by the bytes.
  if (file.type && !/^image\/(?!svg)|octet-stream/.test(file.type)) {
    throw new Error(t`${file.name || t("That")} is not a picture: a PNG, JPEG, WebP, GIF or AVIF is.`);
  }
  const name = file.name || t("pasted picture");
  const image = await decoded(file);
  if (!image) {
    if (file.size > limits.bytes) {
      throw new Error(t`${file.name || t("The picture")} cannot be made smaller here: the browser cannot read it, and it has ${megabytes(file.size)} MB where ${megabytes(limits.bytes)} MB are allowed. Save it as a JPEG, or smaller.`);
    }
    const url = await dataUrl(file);
    return { url, original: url, file, name, width: null, height: null, mayTell: false };
  }
  const { naturalWidth: width, naturalHeight: height } = image;
  const original = file.size <= limits.bytes ? await dataUrl(file) : null;
  const isWithin = original && Math.max(width, height) <= limits.side;
  const sent = isWithin ? { url: original, width, height } : await shrunk(image, file.type, limits);
  return { ...sent, original, file, name, mayTell: Boolean(original) && await speaks(file) };
}

/**
 * Make those of *pictures* smaller, as `readPicture` has made them, that are too large to be sent
 * together: all have as many bytes as one alone may have. Throws an Error as it does.
 */
export async function fitTogether(pictures, limits) {
  const bytesOf = ({ url }) => (url.length * 3) / 4;
  if (pictures.reduce((sum, each) => sum + bytesOf(each), 0) <= limits.bytes) return;
  const bytes = Math.floor(limits.bytes / pictures.length);
  for (const each of pictures.filter((each) => bytesOf(each) > bytes)) {
    const { url, width, height } = await readPicture(each.file, { ...limits, bytes });
    Object.assign(each, { url, width, height });
  }
}

/** The image in *file*, upright; null where the browser cannot decode it. */
async function decoded(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
    return image.naturalWidth ? image : null;
  } catch {
    return null;
  } finally {
    // A decoded image needs its address no longer.
    URL.revokeObjectURL(image.src);
  }
}

/** *image* with at most *side* pixels on its longest side, over white where *isOpaque*. */
function canvasOf(image, side, isOpaque = false) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const scale = Math.min(1, side / Math.max(width, height));
  const canvas = el("canvas", { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  if (isOpaque) {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** `{url, width, height}` of *image* within *limits*: a JPEG of a JPEG, else a PNG where that is small enough. */
async function shrunk(image, type, { bytes, side }) {
  const made = async (canvas, type) => {
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, QUALITY));
    const isSmall = blob && blob.size <= bytes;
    return isSmall ? { url: await dataUrl(blob), width: canvas.width, height: canvas.height } : null;
  };
  const exact = type === "image/jpeg" ? null : await made(canvasOf(image, side), "image/png");
  if (exact) return exact;
  const most = Math.min(side, Math.max(image.naturalWidth, image.naturalHeight));
  for (let longest = most; longest >= LEAST; longest = Math.round(longest * 0.7)) {
    const small = await made(canvasOf(image, longest, true), "image/jpeg");
    if (small) return small;
  }
  throw new Error(t("The picture cannot be made small enough: save it smaller, as a JPEG."));
}

/** Whether *file* has words in it that may say how it was made. */
async function speaks(file) {
  const ends = [file.slice(0, ENDS), file.slice(Math.max(ENDS, file.size - ENDS))];
  for (const end of ends) {
    if (MARKS.test(new TextDecoder("latin1").decode(await end.arrayBuffer()))) return true;
  }
  return false;
}

function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1);

/** What a picture's file says (`/api/inspect`) as a job to edit: what can be drawn here, and no more. */
export function asJob(found, { presets, loras }, first, limits) {
  const preset = presets.find(({ name }) => name === found.preset)
    ?? presets.find(({ name }) => name === first) ?? presets[0];
  const within = (value, most) => (value !== null && value <= most ? value : undefined);
  const isSize = found.width && found.height && found.width % 16 === 0 && found.height % 16 === 0
    && Math.min(found.width, found.height) >= 64 && found.width * found.height <= limits.pixels;
  return {
    prompt: found.prompt,
    preset: preset.name,
    num_inference_steps: within(found.num_inference_steps, limits.num_inference_steps) ?? preset.num_inference_steps,
    guidance_scale: within(found.guidance_scale, 30) ?? preset.guidance_scale,
    width: isSize ? found.width : preset.width,
    height: isSize ? found.height : preset.height,
    strength: null,
    controlnet_conditioning_scale: null,
    control_guidance_start: null,
    control_guidance_end: null,
    crop_x: 0.5,
    crop_y: 0.5,
    images: 1,
    negative_prompt: found.negative_prompt,
    loras: lorasTyped(lorasIn(found.loras).filter(({ name }) => loras.all.some((each) => each.name === name))),
    seed: found.seed ?? undefined,
  };
}
