/** One's own data: the file with all of it, and the question before it is deleted. */

import { api } from "./api.js";
import { el } from "./dom.js";

/** Have the browser save all that is kept about the person. */
export function saveExport() {
  const link = el("a", { href: "/api/me/export", download: "" });
  document.body.append(link);
  link.click();
  link.remove();
}

/** Ask, in a dialog, whether everything is to be deleted; *text* is the bot's question. */
export function askToDelete(text, onDeleted, onRefused) {
  const dialog = el("dialog", { class: "own-data", "aria-label": "Delete my data" });
  const sure = el("button", { type: "button", class: "danger", text: "Delete everything" });
  const keep = el("button", { type: "button", text: "Keep it", onclick: () => dialog.close() });
  sure.addEventListener("click", async () => {
    sure.disabled = true;
    try {
      await api.deleteMe();
      onDeleted();
    } catch (error) {
      onRefused(error);
    } finally {
      dialog.close();
    }
  });
  // The way to type it is for platforms without a dialog.
  const [question] = text.split("\n");
  dialog.append(el("p", { text: question }), el("p", { class: "buttons" }, keep, sure));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  keep.focus();
}
