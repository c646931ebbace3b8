/** A mask over an attached picture: painted with a brush, white where something new is drawn. */

import { button, el, icon } from "./dom.js";
import { t } from "./languages.js";

/** Parts of a picture with a name, row by row: left, top, right and bottom, as shares of its sides. */
const REGIONS = [
  [[0, 0, 0.5, 0.5], () => t("Top left corner")], [[0, 0, 1, 0.5], () => t("Top half")], [[0.5, 0, 1, 0.5], () => t("Top right corner")],
  [[0, 0, 0.5, 1], () => t("Left half")], [[0.25, 0.25, 0.75, 0.75], () => t("Center")], [[0.5, 0, 1, 1], () => t("Right half")],
  [[0, 0.5, 0.5, 1], () => t("Bottom left corner")], [[0, 0.5, 1, 1], () => t("Bottom half")], [[0.5, 0.5, 1, 1], () => t("Bottom right corner")],
];
/** The brush's width as a share of the picture's longer side: least, most, and at first, in per cent. */
const BRUSH = { min: 1, max: 40, value: 12 };
/** Longest side in pixels of what is shown of a mask. */
const SHOWN = 1024;
/** Height of a picture that is painted on, at most, in hundredths of the screen's. */
const HEIGHT = 56;
const COLOUR = "#ff5a36";

/** What is painted over a picture of *width* x *height* pixels; *base* is an image of an older mask. */
export class Mask {
  #acts = [];
  #base;

  constructor({ width, height }, base = null) {
    this.#base = base;
    this.canvas = el("canvas", { width, height });
    this.#paintAll();
  }

  get #context() {
    return this.canvas.getContext("2d");
  }

  get canUndo() {
    return this.#acts.length > 0;
  }

  /** Begin a stroke at `[x, y]`, *size* pixels wide. */
  begin(point, size, isErasing) {
    this.#acts.push({ kind: "stroke", points: [point], size, isErasing });
    this.#stroke(this.#acts.at(-1), 0);
  }

  /** Go on with the stroke to `[x, y]`. */
  extend(point) {
    const act = this.#acts.at(-1);
    act.points.push(point);
    this.#stroke(act, act.points.length - 2);
  }

  fill(shares) {
    this.#do({ kind: "fill", shares });
  }

  invert() {
    this.#do({ kind: "invert" });
  }

  clear() {
    this.#do({ kind: "clear" });
  }

  undo() {
    this.#acts.pop();
    this.#paintAll();
  }

  /** Whether nothing is painted. */
  get isEmpty() {
    const small = el("canvas", { width: 64, height: 64 });
    const context = small.getContext("2d");
    context.drawImage(this.canvas, 0, 0, 64, 64);
    return !context.getImageData(0, 0, 64, 64).data.some((value, index) => index % 4 === 3 && value > 0);
  }

  /** The mask as a PNG, white on black. */
  get url() {
    const { width, height } = this.canvas;
    const whole = el("canvas", { width, height });
    const context = whole.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    context.drawImage(this.canvas, 0, 0);
    return whole.toDataURL("image/png");
  }

  /** Show the mask on the canvas *shown*; its edge is as soft as *feather* pixels of the picture make it. */
  show(shown, feather) {
    const { width, height } = this.canvas;
    const scale = Math.min(1, SHOWN / Math.max(width, height));
    if (shown.width !== Math.round(width * scale)) [shown.width, shown.height] = [width, height].map((side) => Math.round(side * scale));
    const context = shown.getContext("2d");
    const draw = (operation, filter = "none") => {
      context.globalCompositeOperation = operation;
      context.filter = filter;
      context.drawImage(this.canvas, 0, 0, shown.width, shown.height);
    };
    context.clearRect(0, 0, shown.width, shown.height);
    draw("source-over", `blur(${Math.max(0.5, (feather * scale) / 2)}px)`);
    draw("destination-in"); // the edge is soft on its inside alone, as it is drawn
    context.globalCompositeOperation = "source-in";
    context.filter = "none";
    context.fillStyle = COLOUR;
    context.fillRect(0, 0, shown.width, shown.height);
    context.globalCompositeOperation = "source-over";
  }

  #do(act) {
    this.#acts.push(act);
    this.#apply(act);
  }

  #paintAll() {
    this.#context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (this.#base) this.#paintBase();
    for (const act of this.#acts) this.#apply(act);
  }

  /** White of the older mask, without its black. */
  #paintBase() {
    const { width, height } = this.canvas;
    this.#context.drawImage(this.#base, 0, 0, width, height);
    const pixels = this.#context.getImageData(0, 0, width, height);
    for (let place = 0; place < pixels.data.length; place += 4) {
      pixels.data[place + 3] = pixels.data[place];
      pixels.data.fill(255, place, place + 3);
    }
    this.#context.putImageData(pixels, 0, 0);
  }

  #apply(act) {
    const { width, height } = this.canvas;
    const context = this.#context;
    context.fillStyle = "#fff";
    if (act.kind === "stroke") {
      this.#stroke(act, 0);
    } else if (act.kind === "fill") {
      const [left, top, right, bottom] = act.shares;
      context.fillRect(left * width, top * height, (right - left) * width, (bottom - top) * height);
    } else if (act.kind === "invert") {
      context.globalCompositeOperation = "xor";
      context.fillRect(0, 0, width, height);
      context.globalCompositeOperation = "source-over";
    } else {
      context.clearRect(0, 0, width, height);
    }
  }

  /** Paint a stroke from its point number *from* on. */
  #stroke({ points, size, isErasing }, from) {
    const context = this.#context;
    context.globalCompositeOperation = isErasing ? "destination-out" : "source-over";
    Object.assign(context, { lineWidth: size, lineCap: "round", lineJoin: "round", strokeStyle: "#fff" });
    context.beginPath();
    context.moveTo(...points[from]);
    for (const point of points.slice(from)) context.lineTo(...point);
    context.stroke();
    context.globalCompositeOperation = "source-over";
  }
}

/** What is shown of *mask* in a small place, as an image over the picture. */
export function marked(image, feather) {
  const shown = el("canvas", { class: "mask-shown", "aria-hidden": "true" });
  image.mask?.show(shown, feather);
  return shown;
}

/**
 * Let a person paint which part of *image* is drawn anew. *onDone* is called with the mask once the
 * dialog closes, or with null where nothing is painted.
 */
export function paint(image, feather, onDone) {
  const mask = image.mask ?? new Mask(image);
  const shown = el("canvas", { class: "mask-shown" });
  const ring = el("span", { class: "brush-ring", "aria-hidden": "true", hidden: true });
  const stage = el("div", { class: "mask-stage", role: "img", "aria-label": t("Your picture; what is painted is drawn anew") },
    el("img", { src: image.url, alt: "", draggable: "false" }), shown, ring);
  // As large as there is room, before the picture is decoded too.
  Object.assign(stage.style, { aspectRatio: `${image.width} / ${image.height}`, inlineSize: `min(100%, ${(HEIGHT * image.width) / image.height}dvh)` });
  const size = el("input", { type: "range", id: "brush-size", ...BRUSH, step: 1 });
  const undo = button(t("Undo"), "again", () => change(() => mask.undo()), { class: "ghost undo" });
  let isErasing = false;
  const tool = (label, erases) => el("label", { class: "segment" },
    el("input", { type: "radio", name: "brush", checked: !erases, onchange: () => (isErasing = erases) }), el("span", { text: label }));

  const render = () => {
    mask.show(shown, feather);
    undo.disabled = !mask.canUndo;
  };
  const change = (act) => {
    act();
    render();
  };
  let isDue = false;
  const renderSoon = () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      render();
    });
  };

  /** Where *event* is in the picture, and the brush's width there, in its pixels. */
  const at = ({ clientX, clientY }) => {
    const box = shown.getBoundingClientRect();
    const scale = image.width / box.width;
    return [(clientX - box.left) * scale, (clientY - box.top) * scale];
  };
  const width = () => (Number(size.value) / 100) * Math.max(image.width, image.height);
  const follow = ({ clientX, clientY, pointerType }) => {
    const box = shown.getBoundingClientRect();
    const across = (width() * box.width) / image.width;
    ring.hidden = pointerType === "touch";
    Object.assign(ring.style, { inlineSize: `${across}px`, blockSize: `${across}px`, insetInlineStart: `${clientX - box.left - across / 2}px`, insetBlockStart: `${clientY - box.top - across / 2}px` });
  };
  stage.addEventListener("pointermove", follow);
  stage.addEventListener("pointerleave", () => (ring.hidden = true));
  stage.addEventListener("pointerdown", (begun) => {
    if (begun.button !== 0 || !begun.isPrimary) return;
    begun.preventDefault();
    stage.setPointerCapture(begun.pointerId);
    mask.begin(at(begun), width(), isErasing);
    renderSoon();
    const draw = (event) => {
      if (event.pointerId !== begun.pointerId) return;
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) mask.extend(at(each));
      renderSoon();
    };
    stage.addEventListener("pointermove", draw);
    stage.addEventListener("lostpointercapture", () => {
      stage.removeEventListener("pointermove", draw);
      render();
    }, { once: true });
  });

  // At once, since a dialog tells only a little later that it was closed.
  function done() {
    if (!dialog.isConnected) return;
    dialog.remove();
    onDone(mask.isEmpty ? null : mask);
  }
  const dialog = el("dialog", { class: "masking", "aria-labelledby": "masking-title" },
    el("div", { class: "panel-head" },
      el("h2", { id: "masking-title", text: t("Paint what to draw anew") }),
      el("button", { type: "button", class: "round", "aria-label": t("Close"), onclick: done }, icon("close"))),
    stage,
    el("div", { class: "mask-tools" },
      el("div", { class: "segments", role: "radiogroup", "aria-label": t("Brush") }, tool(t("Brush"), false), tool(t("Eraser"), true)),
      el("label", { class: "brush-size" }, el("span", { text: t("Width") }), size),
      el("div", { class: "regions", role: "group", "aria-label": t("Parts of the picture") }, REGIONS.map(([shares, label]) =>
        el("button", { type: "button", "aria-label": label(), title: label(), onclick: () => change(() => mask.fill(shares)) }, regionIcon(shares)))),
      el("div", { class: "buttons" }, undo,
        button(t("Invert"), null, () => change(() => mask.invert())),
        button(t("Clear"), null, () => change(() => mask.clear())),
        el("button", { type: "button", class: "primary", onclick: done }, t("Done")))));
  dialog.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (mask.canUndo) change(() => mask.undo());
  });
  dialog.addEventListener("close", done);
  document.body.append(dialog);
  dialog.showModal();
  render();
}

/** A small square with the part *shares* of it marked. */
function regionIcon([left, top, right, bottom]) {
  const part = el("i");
  Object.assign(part.style, { insetInlineStart: `${left * 100}%`, insetBlockStart: `${top * 100}%`, inlineSize: `${(right - left) * 100}%`, blockSize: `${(bottom - top) * 100}%` });
  return el("span", { class: "region", "aria-hidden": "true" }, part);
}
