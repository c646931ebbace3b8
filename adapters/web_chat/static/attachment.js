/** The control image: read from a file, and shown with its map in the composer and the drawer. */

import { api } from "./api.js";
import { $, el, icon } from "./dom.js";

/**
 * `{url, name, width, height, small}` of a picture's file, with `small` a picture of the same
 * shape to ask for a price with. Throws an Error with a sentence for the person.
 */
export async function readPicture(file, maxBytes) {
  // Types may be wrong or missing: the bot judges by the bytes.
  if (file.type && !/^image\/(?!svg)|octet-stream/.test(file.type)) {
    throw new Error(`${file.name || "That"} is not a picture: a PNG, JPEG, WebP, GIF or AVIF is.`);
  }
  if (file.size > maxBytes) {
    throw new Error(`${file.name || "The picture"} has ${(file.size / 1e6).toFixed(1)} MB; at most ${maxBytes / 1e6} MB are allowed.`);
  }
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch {
    throw new Error(`${file.name || "The picture"} cannot be shown by the browser: it is damaged, or should be saved as PNG or JPEG.`);
  }
  const { naturalWidth: width, naturalHeight: height } = image;
  const scale = Math.min(1, 256 / Math.max(width, height));
  const canvas = el("canvas", { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return { url, name: file.name || "pasted picture", width, height, small: canvas.toDataURL("image/png") };
}

/** Show *image* as *preset* uses it, or a place to drop one. */
export function showPicture(image, preset, { onRemove, onChoose }) {
  $("attachment").hidden = !image;
  if (!image) {
    $("drop").replaceChildren(el("button", { type: "button", class: "drop-button", onclick: onChoose },
      icon("image"), el("span", { text: "Drop, paste or choose a picture" })));
    return;
  }
  // The map of another preset is not shown for this one.
  const { map, isWaiting, error, remarks = [] } = image.preset === preset.name ? image : { isWaiting: true };
  const figures = () => [
    figure(el("img", { src: image.url, alt: `Control image: ${image.name}` }), "Your picture"),
    preset.needs_image && (map
      ? figure(el("img", { src: map, alt: "Control map" }), preset.controlnet ? "What it follows" : "What it starts from")
      : figure(el("span", { class: "haze" }), isWaiting ? "Looking…" : "No map", isWaiting ? "waiting" : "none")),
  ];
  const use = preset.needs_image ? `for the preset ${preset.name}` : `the preset ${preset.name} takes no picture`;
  $("attachment").replaceChildren(
    ...figures().filter(Boolean),
    el("div", { class: "attachment-text" },
      el("strong", { text: image.name }),
      el("span", { class: error ? "wrong" : "quiet", text: error ?? use }),
      remarks.map((text) => el("span", { class: "quiet", text })),
      inspection(image)),
    el("button", { type: "button", class: "round small", "aria-label": "Remove the control image", onclick: onRemove }, icon("close")));
  $("drop").replaceChildren(
    el("div", { class: "side-by-side" }, figures()),
    ...(error ? [el("p", { class: "wrong", text: error })] : []),
    el("button", { type: "button", class: "ghost", onclick: onRemove }, "Remove"));
}

/** A button that reads how *image* was made, or what it has read: one for each picture, since what is around it is drawn anew. */
function inspection(image) {
  if (image.inspection) return image.inspection;
  const read = el("button", { type: "button", class: "reads", text: "Read how it was made" });
  image.inspection = el("span", { role: "status" }, read);
  read.addEventListener("click", async () => {
    read.disabled = true;
    const says = await api.inspect(image.url).then(({ text }) => text, (error) => error.message);
    read.replaceWith(el("span", { class: "says", text: says }));
  });
  return image.inspection;
}

function figure(shown, caption, kind) {
  return el("figure", { class: kind }, shown, el("figcaption", { text: caption }));
}
