/** Two pictures, one over the other, with a slider between them. */

import { el } from "./dom.js";
import { alternative, pictureOf } from "./conversation.js";
import { t } from "./languages.js";

/** Both pictures in the proportions of the second; of the first as much is seen as the slider says, from the left. */
export function comparison(left, right) {
  const image = ({ job, which }, properties = {}) =>
    el("img", { src: pictureOf(job, which).url, alt: alternative(job, which), draggable: "false", ...properties });
  const over = image(right, { class: "over" });
  const slider = el("input", { type: "range", min: 0, max: 100, step: 1, value: 50, "aria-label": t("How much of each picture is shown") });
  const pictures = el("div", { class: "both" }, image(left), over, el("span", { class: "divider", "aria-hidden": "true" }));
  const follow = () => {
    pictures.style.setProperty("--split", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", t`${slider.value} % the left one, ${100 - slider.value} % the right one`);
  };
  const drag = (event) => {
    if (event.type === "pointerdown") pictures.setPointerCapture(event.pointerId);
    else if (!pictures.hasPointerCapture(event.pointerId)) return;
    const { left: start, width } = pictures.getBoundingClientRect();
    slider.value = Math.round(((event.clientX - start) / width) * 100);
    follow();
  };
  pictures.addEventListener("pointerdown", drag);
  pictures.addEventListener("pointermove", drag);
  slider.addEventListener("input", follow);
  follow();
  return el("div", { class: "comparison" }, pictures, slider);
}

/** A table of what is told of two pictures, as far as it differs. */
export function differences(left, right) {
  const [one, other] = [new Map(left), new Map(right)];
  const names = [...new Set([...one.keys(), ...other.keys()])].filter((name) => one.get(name) !== other.get(name));
  return el("table", { class: "differences" },
    el("thead", {}, el("tr", {}, el("td"), el("th", { scope: "col", text: t("Left") }), el("th", { scope: "col", text: t("Right") }))),
    el("tbody", {}, names.map((name) => el("tr", {},
      el("th", { scope: "row", text: name }), el("td", { text: one.get(name) ?? "–" }), el("td", { text: other.get(name) ?? "–" })))));
}

/** All pictures of an album but one, to choose one of; *onChoose* is given its job and number. */
export class Choice {
  constructor(album, { job: mine, which }, onChoose) {
    this.list = el("ul", { class: "choice", "aria-label": t("Pictures to compare with") });
    const older = el("button", { type: "button", class: "ghost wide", text: t("Show older"), onclick: () => album.more().then(show, () => {}) });
    this.element = el("div", {}, this.list, older);
    const show = () => {
      this.list.replaceChildren(...album.all.flatMap((job) => job.pictures
        .filter(({ number }) => job.id !== mine.id || number !== which)
        .map(({ number }) => el("li", {}, el("button", {
          type: "button", title: job.prompt, "aria-label": `${job.prompt}${job.images > 1 ? `, ${t`picture ${number}`}` : ""}`,
          onclick: () => onChoose({ job, which: number }),
        }, el("img", { src: job.thumbnail ?? `/api/jobs/${job.id}/image?number=${number}`, alt: "", loading: "lazy", class: job.is_spoiler ? "spoiler" : "" }),
        job.images > 1 && el("span", { class: "number", text: String(number) }))))));
      older.hidden = !album.hasMore;
    };
    show();
    if (!album.isRead) album.more().then(show, () => {});
  }
}
