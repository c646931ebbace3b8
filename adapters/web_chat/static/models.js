/** The answer to `models`: a row for each, which chooses the first of its presets, and their licences. */

import { choiceTable } from "./conversation.js";
import { duration, el, plural } from "./dom.js";
import { t } from "./languages.js";

/** *onChoose* is given the name of a preset. */
export function modelsCard(models, onChoose) {
  const table = choiceTable(models, (model) => [
    [model.is_default && t("the default"), readiness(model), plural(model.num_inference_steps, "step"),
      `${model.width} × ${model.height}`, model.license_name].filter(Boolean).join(" · "),
    t`presets: ${model.presets.join(", ")}`,
  ], ({ presets }) => presets.length && onChoose(presets[0]));
  const pages = new Map(models.filter(({ license_page: page }) => page)
    .map(({ license_page: page, license_name: name }) => [page, name || page]));
  return el("div", {}, table, pages.size > 0 && el("p", { class: "quiet licences" },
    [...pages].map(([href, text]) => el("a", { href, text, target: "_blank", rel: "noopener" }))));
}

function readiness({ is_loaded: isLoaded, seconds_to_load: seconds }) {
  if (isLoaded) return t("in memory");
  return seconds === null ? "" : t`loads in about ${duration(seconds)}`;
}
