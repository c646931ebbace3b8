/** The dialog that asks what to change in a picture, and which of them the bot changes. */

import { el } from "./dom.js";
import { t } from "./languages.js";

let can = false;

/** Take over what the bot tells of itself, by /api/about. */
export function knowChanging(about) {
  can = about.can_edit;
}

/** Whether a preset changes pictures as words say. */
export const canChange = () => can;

/** Ask what to change in the picture at *url*; *onSaid* gets the words. */
export function askForChange(url, onSaid) {
  const words = el("textarea", { rows: 2, maxlength: 2000, placeholder: t("make it night"), required: true, enterkeyhint: "send" });
  const send = el("button", { type: "submit", class: "primary", text: t("Edit picture") });
  const form = el("form", { method: "dialog" },
    el("img", { src: url, alt: "" }),
    el("label", { class: "stack" }, el("span", { text: t("What to change") }), words),
    el("p", { class: "buttons" },
      el("button", { type: "button", text: t("Cancel"), onclick: () => dialog.close() }), send));
  const dialog = el("dialog", { class: "question change", "aria-label": t("Edit picture") }, form);
  form.addEventListener("submit", (event) => {
    if (!words.value.trim()) return event.preventDefault();
    onSaid(words.value.trim());
  });
  words.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit(send);
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  words.focus();
}
