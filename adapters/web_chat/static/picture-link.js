/** The link of a picture: copied, shared and taken back, and followed to this page. */

import { button, copy, el } from "./dom.js";
import { api } from "./api.js";
import { t } from "./languages.js";

const SHARED = t("Whoever has the link sees this picture, its prompt and its settings.");
const PRIVATE = t("Only you can open the link of this picture.");

/** What can be done with the link of *job*, and who may open it. */
export function linkOf(job) {
  const line = el("p", { class: "quiet", role: "status" });
  const address = `${location.origin}/p/${job.id}`;
  const copies = button(t("Copy link"), "link", () => copy(address, copies));
  const change = button(t("Share"), "share", async () => {
    change.disabled = true;
    try {
      show(await (isShared ? api.takeBack(job.id) : api.share(job.id)));
    } catch (error) {
      line.textContent = error.message;
    }
    change.disabled = false;
    change.focus();
  });
  let isShared = false;
  const show = (link) => {
    isShared = link.is_shared;
    line.textContent = isShared ? SHARED : PRIVATE;
    change.querySelector("span").textContent = isShared ? t("Take back") : t("Share");
    change.hidden = false;
  };
  change.hidden = true;
  api.pictureLink(job.id).then(show, (error) => (line.textContent = error.message));
  return el("div", { class: "link", role: "group", "aria-label": t("Link") }, line, el("div", { class: "actions" }, copies, change));
}

/** Open the picture that the address names behind its #, as the page of a picture leads here. */
export async function openLinked(open, onRefused) {
  const id = new URLSearchParams(location.hash.slice(1)).get("picture");
  if (!id) return;
  window.history.replaceState(null, "", location.pathname);
  try {
    open({ previews: [], ...await api.job(id) }, 1);
  } catch (error) {
    onRefused(error);
  }
}
