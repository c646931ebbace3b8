/** The message box: colours, completion, and marks at mistakes. */

import { $, el } from "./dom.js";
import { complete, isOption, words } from "./grammar.js";
import { t } from "./languages.js";

/** Where the tab keeps what was sent last, which ↑ in the empty box brings back. */
const LAST = "fluxbot-last";
/** Characters of a prompt at most, and how near they are counted from. */
const MOST = 2000;
const COUNTED = 200;

export class Composer {
  #context;
  #onSend;
  #offer = null;
  #active = -1;
  #wrong = null;

  constructor({ context, onSend, onInput }) {
    this.#context = context;
    this.#onSend = onSend;
    this.box = $("message");
    this.list = $("completion");
    this.box.addEventListener("input", () => {
      this.clearNotice();
      this.#resize();
      this.#suggest();
      onInput();
    });
    this.box.addEventListener("keydown", (event) => this.#key(event));
    this.box.addEventListener("scroll", () => ($("mirror").scrollTop = this.box.scrollTop));
    this.box.addEventListener("blur", () => this.#close());
    this.box.addEventListener("click", () => this.#suggest());
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    $("notice-close").addEventListener("click", () => {
      this.clearNotice();
      this.box.focus();
    });
  }

  get text() {
    return this.box.value;
  }

  set text(value) {
    this.box.value = value;
    this.#resize();
    this.#close();
    this.box.dispatchEvent(new Event("input"));
  }

  focus() {
    this.box.focus();
    this.box.setSelectionRange(this.box.value.length, this.box.value.length);
  }

  /** Show what is wrong; `position` and `word` mark it in the text. */
  notice(message, { position, word, isCalm = false } = {}) {
    $("notice").classList.toggle("calm", isCalm);
    $("notice-text").textContent = message;
    $("notice").hidden = false;
    if (word && position !== null && position !== undefined && this.text.startsWith(word, position)) {
      this.#wrong = [position, position + word.length];
      this.box.setAttribute("aria-invalid", "true");
      this.box.focus();
      this.box.setSelectionRange(...this.#wrong);
    }
    this.#colour();
  }

  clearNotice() {
    $("notice").hidden = true;
    this.#wrong = null;
    this.box.removeAttribute("aria-invalid");
    this.#colour();
  }

  /** Something other than the text has changed: what was wrong in the text still is. */
  reconsider() {
    if (!this.#wrong) this.clearNotice();
  }

  #send() {
    const text = this.text.trim();
    if (!text) {
      this.notice(t("Say what to draw, for example “a red circle on a blue background”."), { isCalm: true });
      this.box.focus();
      return;
    }
    this.#close();
    sessionStorage.setItem(LAST, this.text);
    this.#onSend(this.text);
  }

  #key(event) {
    if (event.isComposing) return;
    const { key } = event;
    if (this.#offer) {
      const count = this.#offer.items.length;
      if (key === "ArrowDown" || key === "ArrowUp") {
        event.preventDefault();
        const by = key === "ArrowDown" ? 1 : -1;
        this.#mark(this.#active < 0 && by < 0 ? count - 1 : (this.#active + by + count) % count);
        return;
      }
      if (key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        this.#close();
        return;
      }
      if (key === "Tab" && !event.shiftKey) {
        event.preventDefault();
        this.#take(Math.max(0, this.#active));
        return;
      }
      if (key === "Enter" && !event.shiftKey && this.#active >= 0) {
        event.preventDefault();
        this.#take(this.#active);
        return;
      }
    }
    if (key === "ArrowUp" && !this.text && sessionStorage.getItem(LAST)) {
      event.preventDefault();
      this.text = sessionStorage.getItem(LAST);
      this.focus();
    } else if (key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#send();
    } else if (key === "Escape" && !$("notice").hidden) {
      event.stopPropagation();
      this.clearNotice();
    }
  }

  #suggest() {
    const { selectionStart, selectionEnd } = this.box;
    // A text that was filled in from elsewhere is not being typed.
    const isTyping = selectionStart === selectionEnd && document.activeElement === this.box;
    const offer = isTyping ? complete(this.text, selectionStart, this.#context()) : null;
    if (!offer) {
      this.#close();
      return;
    }
    this.#offer = offer;
    this.list.replaceChildren(...offer.items.map((item, index) => el("li", {
      id: `completion-${index}`, role: "option", "aria-selected": "false",
      onpointerdown: (event) => {
        event.preventDefault();
        this.#take(index);
      },
    }, el("strong", { text: item.label }), el("span", { text: item.hint }), item.example && el("code", { text: item.example }))));
    this.list.hidden = false;
    this.box.setAttribute("aria-expanded", "true");
    this.#mark(offer.isSure ? 0 : -1);
  }

  #mark(index) {
    this.#active = index;
    for (const [each, item] of [...this.list.children].entries()) {
      item.setAttribute("aria-selected", String(each === index));
    }
    if (index < 0) this.box.removeAttribute("aria-activedescendant");
    else {
      this.box.setAttribute("aria-activedescendant", `completion-${index}`);
      this.list.children[index].scrollIntoView({ block: "nearest" });
    }
  }

  #take(index) {
    const { start, end, items } = this.#offer;
    const after = this.text.slice(end).replace(/^\s/, "");
    const head = `${this.text.slice(0, start)}${items[index].insert} `;
    this.box.value = head + after;
    this.box.setSelectionRange(head.length, head.length);
    this.box.dispatchEvent(new Event("input"));
  }

  #close() {
    this.#offer = null;
    this.#active = -1;
    this.list.hidden = true;
    this.box.setAttribute("aria-expanded", "false");
    this.box.removeAttribute("aria-activedescendant");
  }

  #resize() {
    this.box.style.blockSize = "auto";
    this.box.style.blockSize = `${Math.min(this.box.scrollHeight, innerHeight * 0.32)}px`;
    const { length } = this.text;
    $("counter").hidden = length < MOST - COUNTED;
    $("counter").textContent = t`${length} of ${MOST} characters`;
    $("counter").classList.toggle("over", length > MOST);
    this.#colour();
  }

  /** The same text behind the box, in which options and a wrong word are coloured. */
  #colour() {
    const { text } = this;
    const marks = words(text).filter((word) => isOption(word.text) && word.text.length > 2)
      .map(({ start, end }) => [start, end, "option"]);
    if (this.#wrong) marks.push([...this.#wrong, "wrong-word"]);
    const cuts = [...new Set([0, text.length, ...marks.flatMap(([start, end]) => [start, end])])].sort((a, b) => a - b);
    $("mirror").replaceChildren(...cuts.slice(0, -1).map((start, index) => {
      const end = cuts[index + 1];
      const kinds = marks.filter((mark) => mark[0] <= start && end <= mark[1]).map((mark) => mark[2]);
      return el("span", { class: kinds.join(" ") || undefined, text: text.slice(start, end) });
    }), "\u200b");
    $("mirror").scrollTop = this.box.scrollTop;
  }
}
