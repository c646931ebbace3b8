/** A question in a dialog, with buttons for the answers. */

import { el } from "./dom.js";

/**
 * Ask *text* under the name *label*. The first of *answers* (`text`, and where it does something
 * `act`, and `isDanger`) has the focus. A refusal of an act goes to *onRefused*.
 */
export function ask(label, text, answers, onRefused) {
  const dialog = el("dialog", { class: "question", "aria-label": label });
  const buttons = answers.map(({ text: words, act, isDanger }) => {
    const answer = el("button", { type: "button", class: isDanger ? "danger" : "", text: words });
    answer.addEventListener("click", async () => {
      for (const each of buttons) each.disabled = true;
      try {
        await act?.();
      } catch (error) {
        onRefused(error);
      } finally {
        dialog.close();
      }
    });
    return answer;
  });
  dialog.append(el("p", { text }), el("p", { class: "buttons" }, buttons));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  buttons[0].focus();
}
