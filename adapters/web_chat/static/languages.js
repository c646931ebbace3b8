/**
 * The page in people's languages. English sentences stand in the code, with `{0}` for what is put into
 * them; `languages/de.json` and its like translate them. A sentence without a translation stays English.
 */

/** Languages by their code, each by its own name. */
export const LANGUAGES = { en: "English", de: "Deutsch", es: "Español", fr: "Français", ja: "日本語" };
/** The cookie with the language that was chosen, which the bot reads for its own sentences. */
const COOKIE = "fluxbot_language";

const [, chosen] = document.cookie.match(new RegExp(`(?:^|; )${COOKIE}=([a-z]{2})`)) ?? [];
const wished = [chosen, ...navigator.languages.map((each) => each.slice(0, 2).toLowerCase())];
/** The code of the language that the page is in. */
export const language = wished.find((code) => code in LANGUAGES) ?? "en";

const sentences = language === "en" ? {}
  : await fetch(`/static/languages/${language}.json`).then((answer) => answer.json()).catch(() => ({}));

/** The translation of a sentence: t`Picture ${1} of ${4}`, or t("Close"). */
export function t(sentence, ...values) {
  const english = typeof sentence === "string" ? sentence
    : sentence.reduce((all, part, index) => `${all}{${index - 1}}${part}`);
  return (sentences[english] ?? english).replace(/\{(\d)\}/g, (place, number) => values[number] ?? place);
}

/** Remember the language *code*, and show the page in it. */
function choose(code) {
  document.cookie = `${COOKIE}=${code}; path=/; max-age=31536000; samesite=lax`;
  location.reload();
}

/** Offer the languages in *select*, an element. */
export function offer(select) {
  for (const [code, name] of Object.entries(LANGUAGES)) {
    select.add(new Option(name, code, false, code === language));
  }
  select.addEventListener("change", () => choose(select.value));
}

/** Put the page as it was written into the language, before anything of a person is in it. */
function translate() {
  document.documentElement.lang = language;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { currentNode: node } = texts;
    const english = node.data.trim().replace(/\s+/g, " ");
    if (sentences[english] !== undefined) node.data = node.data.replace(/\S[^]*\S|\S/, () => sentences[english]);
  }
  for (const name of ["aria-label", "title", "placeholder", "alt"]) {
    for (const each of document.querySelectorAll(`[${name}]`)) each.setAttribute(name, t(each.getAttribute(name)));
  }
}
translate();
