/** Small helpers around the DOM. Text always goes in as text, never as markup. */

import { language, t } from "./languages.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element with properties, attributes and `on…` listeners, and children (falsy ones left out). */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else if (name === "class") element.className = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child || child === 0));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/**
 * The bot's plain text: paragraphs, and lines that begin with two spaces as rows of a table,
 * a term and what it means (`  --steps 20  More take longer.`).
 */
export function prose(text) {
  const parts = [];
  for (const line of text.split("\n")) {
    const row = line.match(/^ {2}(\S.*?)(?: {2,}(.*))?$/);
    if (row) {
      if (parts.at(-1)?.tagName !== "DL") parts.push(el("dl", { class: "terms" }));
      parts.at(-1).append(el("dt", {}, el("code", { text: row[1] })), el("dd", { text: row[2] ?? "" }));
    } else if (line.trim()) {
      parts.push(el("p", { class: "text", text: line }));
    }
  }
  return parts;
}

/** A sentence about the bot itself, from its words. Replies may begin with an id, and stay as they are. */
export function sentence(text) {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…。？]$/.test(capital) ? capital : `${capital}${language === "ja" ? "。" : "."}`;
}

/** A button with an icon and a label; the label alone is read out. */
export function button(label, symbol, onclick, properties = {}) {
  return el("button", { type: "button", class: "ghost", onclick, ...properties },
    symbol && icon(symbol), el("span", { text: label }));
}

export const $ = (id) => document.getElementById(id);

/** Tell screen readers. */
export function announce(text) {
  $("announcer").textContent = text;
}

export const number = (value) => value.toLocaleString(language);

/** Seconds as people say them. */
export function duration(seconds) {
  if (seconds < 10) return t`${number(Number(Math.max(0.1, seconds).toFixed(1)))} s`;
  if (seconds < 90) return t`${Math.round(seconds)} s`;
  if (seconds < 5400) return t`${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return t`${Math.round(seconds / 3600)} h`;
  return t`${Math.round(seconds / 86400)} days`;
}

/** A moment (unix seconds) as people say it. */
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  const ago = Date.now() / 1000 - seconds;
  if (ago < 60) return t("just now");
  if (ago < 3600) return t`${Math.round(ago / 60)} min ago`;
  const time = date.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === new Date().toDateString()) return time;
  return `${date.toLocaleDateString(language, { day: "numeric", month: "short" })}, ${time}`;
}

/** So many of *word*, an English noun whose plural ends in s: "1 credit", "{0} credits" are translated. */
export const plural = (count, word) => (count === 1 ? t(`1 ${word}`) : t(`{0} ${word}s`, number(count)));

export function debounce(milliseconds, action) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), milliseconds);
  };
}

/** Copy *text*; *from*, the button for it, says so for a moment. */
export async function copy(text, from) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without permission, or on plain http beyond this machine: the old way. A dialog lets nothing outside be selected.
    const area = el("textarea", { class: "unseen", text });
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    from?.focus();
  }
  announce(t("Copied"));
  const label = from?.querySelector("span");
  if (!label || from.classList.contains("copied")) return;
  const words = label.textContent;
  from.classList.add("copied");
  label.textContent = t("Copied");
  setTimeout(() => {
    from.classList.remove("copied");
    label.textContent = words;
  }, 2000);
}
