/** The part of an attached picture that is kept, as a frame over it that can be moved. */

import { el } from "./dom.js";
import { t } from "./languages.js";

/** Share of the way that a key moves the frame. */
const STEP = 0.05;

/**
 * Width and height of the part of *image* that fills *size*, as shares of the picture, and whether
 * anything is cut away at all.
 */
export function kept({ width, height }, size) {
  const [across, down] = [size.width / width, size.height / height];
  const scale = Math.max(across, down);
  const part = { width: across / scale, height: down / scale };
  // Less than a pixel is lost to rounding alone.
  const lost = Math.max((1 - part.width) * width, (1 - part.height) * height);
  return { ...part, isCropped: lost * scale >= 1 };
}

/**
 * A frame over *shown*, the element of *image*: `{element, moveTo}`. A picture of *size* would keep
 * what is in it. Its place is `[x, y]`, 0 to 1 each; *onMove* is told of another one once it rests
 * there.
 */
export function cropFrame(shown, image, size, onMove) {
  const part = kept(image, size);
  const sides = [part.width, part.height];
  const along = part.width < part.height ? 0 : 1; // the one side of which something is cut away
  const frame = el("span", {
    class: "crop-frame", role: "slider", tabindex: 0, "aria-label": t("Part of your picture that is kept"),
    "aria-orientation": along ? "vertical" : "horizontal", "aria-valuemin": 0, "aria-valuemax": 100,
  });
  frame.style.inlineSize = `${part.width * 100}%`;
  frame.style.blockSize = `${part.height * 100}%`;
  let place = [0.5, 0.5];
  const moveTo = (to) => {
    place = to;
    frame.style.insetInlineStart = `${place[0] * (1 - part.width) * 100}%`;
    frame.style.insetBlockStart = `${place[1] * (1 - part.height) * 100}%`;
    const share = Math.round(place[along] * 100);
    frame.setAttribute("aria-valuenow", share);
    frame.setAttribute("aria-valuetext", along ? t`${share} % from the top` : t`${share} % from the left`);
  };
  const slideTo = (share) => {
    const to = [...place];
    to[along] = Math.round(Math.min(1, Math.max(0, share)) * 1000) / 1000;
    moveTo(to);
  };

  frame.addEventListener("pointerdown", (begun) => {
    begun.preventDefault();
    frame.focus({ preventScroll: true });
    frame.setPointerCapture(begun.pointerId);
    const before = place[along];
    const { width, height } = shown.getBoundingClientRect();
    const room = [width, height][along] * (1 - sides[along]);
    const drag = ({ clientX, clientY }) =>
      slideTo(before + (along ? clientY - begun.clientY : clientX - begun.clientX) / Math.max(1, room));
    const end = () => {
      frame.removeEventListener("pointermove", drag);
      if (place[along] !== before) onMove(place);
    };
    frame.addEventListener("pointermove", drag);
    frame.addEventListener("lostpointercapture", end, { once: true });
  });
  frame.addEventListener("keydown", (event) => {
    const share = place[along];
    const to = { ArrowLeft: share - STEP, ArrowUp: share - STEP, ArrowRight: share + STEP, ArrowDown: share + STEP,
      Home: 0, End: 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    slideTo(to);
    onMove(place);
  });
  return { element: el("span", { class: "cropping" }, shown, frame), moveTo };
}
