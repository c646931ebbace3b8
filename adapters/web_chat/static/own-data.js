/** Files that the browser saves, such as one's own data, and the question before it is deleted. */

import { api } from "./api.js";
import { el } from "./dom.js";
import { ask } from "./question.js";
import { t } from "./languages.js";

/** Have the browser save all that is kept about the person. */
export function saveExport() {
  save("/api/me/export", "");
}

/** Have the browser save *text* in a file. */
export function saveText(name, text) {
  const address = URL.createObjectURL(new Blob([text]));
  save(address, name);
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

function save(address, name) {
  const link = el("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

/** Ask, in a dialog, whether everything is to be deleted; *text* is the bot's question. */
export function askToDelete(text, onDeleted, onRefused) {
  // The way to type it is for platforms without a dialog.
  const [question] = text.split("\n");
  const remove = async () => {
    await api.deleteMe();
    onDeleted();
  };
  ask(t("Delete my data"), question, [
    { text: t("Keep it") },
    { text: t("Delete everything"), act: remove, isDanger: true },
  ], onRefused);
}
