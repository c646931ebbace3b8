/** The control image, shown with its map in the composer and the drawer. */

import { api } from "./api.js";
import { cropFrame } from "./cropping.js";
import { $, el, icon, plural } from "./dom.js";
import { t } from "./languages.js";
import { marked } from "./masking.js";

/**
 * What *image* looks like in the *place* where it is shown, with a frame over it where it will be
 * cropped: *crop* is `{size, at, onMove}` of the part that is kept, or null. One for each place stays
 * while it is true, so that a frame keeps the focus and the pointer.
 */
function pictured(image, place, crop) {
  const key = crop ? `${crop.size.width}x${crop.size.height}` : "";
  image.shown ??= {};
  if (image.shown[place]?.key !== key) {
    const shown = el("img", { src: image.url, alt: t`Control image: ${image.name}`, draggable: "false" });
    const frame = crop && cropFrame(shown, image, crop.size, crop.onMove);
    image.shown[place] = { key, frame, element: frame ? frame.element : shown };
  }
  const { frame, element } = image.shown[place];
  frame?.moveTo(crop.at);
  return element;
}

/** Show that a file called *name* is being read, which takes seconds where it is large. */
export function showReading(name) {
  $("attachment").hidden = false;
  $("attachment").replaceChildren(
    figure(el("span", { class: "haze" }), t("Looking…"), "waiting"),
    el("div", { class: "attachment-text" }, el("strong", { text: name })));
}

/** How many pictures after *image* *preset* takes; one that inpaints a copy to see where, unless a mask is painted. */
function spare(image, preset) {
  return preset.mask_feather === null ? Math.max(0, preset.pictures - 1) : Number(!image?.mask);
}

/** Whether *preset* makes a control map, which a picture may be already. */
export function takesMap(preset) {
  return preset.needs_image && preset.mask_feather === null && preset.preprocessor !== "none";
}

/** The pictures after *image* that *preset* takes. */
export function nextOf(image, preset) {
  return (image?.next ?? []).slice(0, spare(image, preset));
}

/** What a message has beside *image*: the pictures after it, and its mask. */
export function beside(image, preset) {
  const next = nextOf(image, preset);
  return preset.mask_feather === null ? { next: named(next) } : { next: {}, mask: (image?.mask ?? next[0])?.url };
}

/** The pictures *next* by the names that the API has for them. */
export function named(next) {
  return Object.fromEntries(next.map((each, index) => [`image_${index + 2}`, each.url]));
}

/** *image* with what is painted over it, and a button that lets a person paint. */
function masked(image, preset, onPaint) {
  return el("button", { type: "button", class: "masked", "aria-label": t("Paint what to draw anew"), onclick: onPaint },
    el("img", { src: image.url, alt: t`Control image: ${image.name}`, draggable: "false" }), image.mask && marked(image, preset.mask_feather));
}

/** Show *image* as *preset* uses it, or a place to drop one. */
export function showPicture(image, preset, { onRemove, onChoose, onUse, onPaint, onAdd, onRemoveNext, crop, isMap, onMap }) {
  $("attachment").hidden = !image;
  if (!image) {
    $("drop").replaceChildren(el("button", { type: "button", class: "drop-button", onclick: onChoose },
      icon("image"), el("span", { text: t("Drop, paste or choose a picture") })));
    return;
  }
  // The map of another preset is not shown for this one.
  const { map, isWaiting, error, remarks = [] } = image.preset === preset.name ? image : { isWaiting: true };
  const takesMask = preset.mask_feather !== null;
  const others = () => nextOf(image, preset).map((each, index) => figure(
    el("button", { type: "button", class: "masked", "aria-label": t`Remove picture ${index + 2}`, onclick: () => onRemoveNext(index) },
      el("img", { src: each.url, alt: t`Control image: ${each.name}`, draggable: "false" })), t`Picture ${index + 2}`));
  const figures = (place) => (takesMask && image.width !== null
    ? [figure(masked(image, preset, onPaint), image.mask ? t("What is drawn anew") : t("Your picture")), ...others()]
    : [
      image.width === null ? figure(el("span", { class: "haze" }), t("Your picture"), "none")
        : figure(pictured(image, place, crop), crop ? t("What is kept") : t("Your picture")),
      ...others(),
      preset.needs_image && (map
        ? figure(el("img", { src: map, class: "map", alt: t("Control map") }), preset.controlnet ? t("What it follows") : t("What it starts from"))
        : figure(el("span", { class: "haze" }), isWaiting ? t("Looking…") : t("No map"), isWaiting ? "waiting" : "none")),
    ]);
  const mayAdd = image.width !== null && nextOf(image, preset).length < spare(image, preset);
  const add = { type: "button", text: takesMask ? t("Add a copy that you painted on") : t("Add a picture"), onclick: onAdd };
  const mapping = takesMap(preset) && image.width !== null && { type: "button", text: isMap ? t("Make a map of it") : t("It is a map already"), onclick: onMap };
  const use = preset.needs_image ? t`for the preset ${preset.name}` : t`the preset ${preset.name} takes no picture`;
  const focused = document.activeElement;
  $("attachment").replaceChildren(
    ...figures("composer").filter(Boolean),
    el("div", { class: "attachment-text" },
      el("strong", { text: image.name }),
      el("span", { class: error ? "wrong" : "quiet", text: error ?? use }),
      takesMask && image.width !== null && el("button", { type: "button", class: "example paint", text: t("Paint what to draw anew"), onclick: onPaint }),
      mayAdd && el("button", { ...add, class: "example paint" }),
      mapping && el("button", { ...mapping, class: "example paint mapping" }),
      remarks.map((text) => el("span", { class: "quiet", text })),
      image.found ? offer(image, onUse) : inspection(image)),
    el("button", { type: "button", class: "round small", "aria-label": t("Remove the control image"), onclick: onRemove }, icon("close")));
  $("drop").replaceChildren(...[
    el("div", { class: "side-by-side" }, figures("drawer")),
    error && el("p", { class: "wrong", text: error }),
    takesMask && image.width !== null && el("button", { type: "button", class: "ghost", onclick: onPaint }, t("Paint what to draw anew")),
    mayAdd && el("button", { ...add, class: "ghost" }),
    mapping && el("button", { ...mapping, class: "ghost" }),
    el("button", { type: "button", class: "ghost", onclick: onRemove }, t("Remove")),
  ].filter(Boolean));
  if (focused !== document.activeElement && focused?.classList.contains("crop-frame")) focused.focus({ preventScroll: true });
}

/** What to do with a picture that says how it was made: *onUse* that, or keep it as the control image. */
function offer(image, onUse) {
  if (image.offer) return image.offer;
  const { found } = image;
  const says = [
    `“${found.prompt}”`,
    found.num_inference_steps !== null && plural(found.num_inference_steps, "step"),
    found.width && found.height && `${found.width} × ${found.height}`,
    found.seed !== null && t`seed ${found.seed}`,
  ];
  const keep = () => {
    image.found = null;
    image.offer.replaceWith(inspection(image));
    $("message").focus();
  };
  image.offer = el("div", { class: "offer", role: "group", "aria-label": t("This picture says how it was made") },
    el("span", { class: "quiet", text: says.filter(Boolean).join(" · ") }),
    el("button", { type: "button", class: "example offered", text: t("Use its prompt and settings"), onclick: () => onUse(found) }),
    el("button", { type: "button", class: "example", text: t("Use as control image"), onclick: keep }));
  return image.offer;
}

/** A button that reads how *image* was made, or what it has read: one for each picture, since what is around it is drawn anew. */
function inspection(image) {
  if (image.inspection) return image.inspection;
  const read = el("button", { type: "button", class: "reads", text: t("Read how it was made") });
  image.inspection = el("span", { role: "status" }, read);
  read.addEventListener("click", async () => {
    read.disabled = true;
    const says = await api.inspect(image.original ?? image.url).then(({ text }) => text, (error) => error.message);
    read.replaceWith(el("span", { class: "says", text: says }));
  });
  return image.inspection;
}

function figure(shown, caption, kind) {
  return el("figure", { class: kind }, shown, el("figcaption", { text: caption }));
}
