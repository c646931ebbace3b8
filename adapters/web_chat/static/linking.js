/** Accounts that are joined: a question in a dialog, and what the other side does meanwhile. */

import { api } from "./api.js";
import { ask } from "./question.js";
import { t } from "./languages.js";

/**
 * Go on with *link* (`text`, `code`, `asks`): ask for a yes or no, or wait for the other side.
 * *onSay* says words for the person, and *onTold* is told what the bot says by itself.
 */
export async function goOn({ text, code, asks }, { onSay, onTold, onRefused }) {
  if (asks) {
    // The way to type it is for platforms without a dialog.
    const question = text.split("\n").slice(0, -1).join(" ");
    ask(t("Join accounts"), question, [
      { text: t("No"), act: () => onSay(`link no ${code}`) },
      { text: t("Yes, join them"), act: () => onSay(`link yes ${code}`), isDanger: true },
    ], onRefused);
    return;
  }
  for (;;) {
    let more;
    try {
      more = await api.link(code);
    } catch (error) {
      if (error.status !== 0) return; // it is over
      await new Promise((resolve) => setTimeout(resolve, 5000));
      continue;
    }
    if (!more) continue;
    onTold(more.text);
    if (more.asks) goOn(more, { onSay, onTold, onRefused });
    return;
  }
}
