/** The page for admins. What is done here is said in words, as on every platform. */

import { $, announce, debounce, duration, el, moment, number, plural, prose } from "./dom.js";
import { api, whenSignedOut } from "./api.js";
import { Held } from "./held.js";
import { t } from "./languages.js";
import { ask } from "./question.js";

const EVERY = 2000;
const SVG = "http://www.w3.org/2000/svg";
const DAYS = [7, 30, 90];
const held = new Held();
let days = 30;
let page = 1;
let shown = "";

whenSignedOut(() => location.assign("/"));

/** Say "admin …"; returns the bot's answer, and shows it, unless *isQuiet*. */
async function say(words, isQuiet = false) {
  const { text } = await api.say(`admin ${words}`);
  if (!isQuiet) answer(text);
  return text;
}

function answer(text, isRefused = false) {
  $("answer").textContent = text;
  $("answer").classList.toggle("refused", isRefused);
  $("answer").hidden = false;
  announce(text);
}

/** A listener that does *act*, shows a refusal, and what has changed by it. */
function doing(act) {
  return async (event) => {
    const from = event.currentTarget;
    from.disabled = true;
    try {
      await act();
    } catch (error) {
      answer(error.message, true);
    } finally {
      from.disabled = false;
    }
    refresh();
    showActs();
  };
}

const act = (label, words, properties = {}) =>
  el("button", { type: "button", class: "ghost", text: label, onclick: doing(() => say(words)), ...properties });

/* Now: engines, queue, presets. */

async function refresh() {
  let now;
  try {
    now = await api.overview();
  } catch (error) {
    lamp("unreachable", error.message);
    if (error.status === 403) answer(error.message, true);
    return;
  }
  lamp(now.engine.status, now.engine.message || (now.engine.status === "ready" ? t("Ready") : t(now.engine.status)));
  held.count = now.held || null;
  // Buttons stay where they are, with their focus, until there is something else to show.
  const text = JSON.stringify(now);
  if (text === shown) return;
  shown = text;
  const focus = document.activeElement?.dataset?.key;
  $("switches").replaceChildren(
    now.is_paused || now.is_draining
      ? act(t("Go on drawing"), "resume", { dataset: { key: "resume" } })
      : act(t("Pause"), "pause", { title: t("Begin no job; waiting ones are kept"), dataset: { key: "pause" } }),
    now.is_draining || act(t("Drain"), "drain", { title: t("Accept no job; waiting ones are drawn"), dataset: { key: "drain" } }) || "");
  $("queue-count").textContent = now.waiting ? t`${plural(now.waiting, "job")} waiting` : "";
  $("engines").replaceChildren(...(now.engines ?? []).map(engineItem));
  $("queue").tBodies[0].replaceChildren(...now.queue.map(queueRow));
  $("queue-empty").hidden = now.queue.length > 0;
  $("presets").replaceChildren(...now.presets.map(presetItem));
  if (focus) document.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
}

function lamp(status, text) {
  $("engine").hidden = false;
  $("engine").dataset.status = status;
  $("engine-text").textContent = text;
}

function engineItem(engine) {
  const parts = [engine.name, engine.device, t(engine.status)];
  const bytes = Object.values(engine.loaded).reduce((total, each) => total + each, 0);
  if (bytes) parts.push(inMemory(bytes));
  const ends = [
    engine.succeeded && t`${number(engine.succeeded)} drawn`,
    engine.failed && t`${number(engine.failed)} failed`,
    engine.lost && t`${number(engine.lost)} lost`,
  ].filter(Boolean);
  return el("li", { dataset: { status: engine.status }, title: engine.error || Object.keys(engine.loaded).join(", ") || null },
    el("span", { class: "lamp", "aria-hidden": "true" }), [...parts.filter(Boolean), ...ends].join(" · "));
}

const inMemory = (bytes) =>
  t`${bytes < 1e9 ? t`${Math.ceil(bytes / 1e6)} MB` : t`${number(Number((bytes / 1e9).toFixed(1)))} GB`} in memory`;

function queueRow(job) {
  const isRunning = job.status === "running";
  const state = isRunning
    ? job.images > 1 ? t`picture ${Math.max(1, job.picture)} of ${job.images}, step ${job.step} of ${job.steps}` : t`step ${job.step} of ${job.steps}`
    : job.wait === null ? t(job.status) : t`in about ${duration(job.wait)}`;
  const key = (name) => ({ dataset: { key: `${name} ${job.id}` } });
  return el("tr", { class: isRunning ? "running" : "" },
    el("td", {}, el("code", { text: job.id })),
    el("td", { text: job.user }),
    el("td", { class: "prompt" }, el("span", { text: job.prompt, title: job.prompt }), el("small", { text: job.preset })),
    el("td", { text: state }),
    el("td", {},
      !isRunning && act(t("First"), `queue first ${job.id}`, { "aria-label": t`Draw ${job.id} next`, ...key("first") }),
      !isRunning && act(t("Last"), `queue last ${job.id}`, { "aria-label": t`Draw ${job.id} last`, ...key("last") }),
      act(t("Cancel"), `queue cancel ${job.id}`, { class: "ghost danger", "aria-label": t`Cancel ${job.id}`, ...key("cancel") })));
}

function presetItem(preset) {
  const facts = [preset.is_default && t("the default"), preset.memory && inMemory(preset.memory)];
  return el("li", { class: preset.is_enabled ? "" : "off" },
    preset.sample ? el("img", { src: preset.sample, alt: t`What ${preset.name} draws`, loading: "lazy", width: 72, height: 72 }) : el("span", { class: "no-sample", text: t("No sample") }),
    el("strong", { text: preset.name }),
    el("p", { class: "quiet", text: [preset.description, ...facts.filter(Boolean)].join(" · ") }),
    el("div", { class: "actions" },
      preset.is_enabled && act(preset.sample ? t("New sample") : t("Draw a sample"), `presets sample ${preset.name}`, {
        "aria-label": preset.sample ? t`Draw a new sample of ${preset.name}` : t`Draw a sample of ${preset.name}`, dataset: { key: `sample ${preset.name}` },
      }),
      !preset.is_default && act(preset.is_enabled ? t("Turn off") : t("Turn on"), `presets ${preset.is_enabled ? "disable" : "enable"} ${preset.name}`, {
        "aria-label": preset.is_enabled ? t`Turn ${preset.name} off` : t`Turn ${preset.name} on`, dataset: { key: `preset ${preset.name}` },
      })));
}

/* Use and people. */

async function showUse() {
  const use = await api.use(days, $("people-search").value.trim());
  const sum = (name) => use.days.reduce((total, day) => total + day[name], 0);
  const drawn = sum("succeeded");
  $("charts").replaceChildren(
    chart(t("Jobs"), number(sum("jobs")), use.days, ["succeeded", "failed", "cancelled"]),
    chart(t("Failed"), drawn + sum("failed") ? `${(100 * sum("failed") / (drawn + sum("failed"))).toFixed(1)} %` : "–", use.days, ["failed"]),
    chart(t("People a day"), number(Math.max(0, ...use.days.map(({ people }) => people))), use.days, ["people"]),
    chart(t("Seconds a job"), drawn ? duration(sum("seconds") / drawn) : "–",
      use.days.map((day) => ({ mean: day.succeeded ? day.seconds / day.succeeded : 0 })), ["mean"]));
  $("people").tBodies[0].replaceChildren(...use.people.map(personRow));
  $("people-empty").hidden = use.people.length > 0;
}

/** Bars for each day, the parts of one day on top of each other. */
function chart(title, value, rows, parts) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${rows.length} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", t`${title}, by day: ${value}`);
  const most = Math.max(1e-9, ...rows.map((row) => parts.reduce((total, part) => total + row[part], 0)));
  rows.forEach((row, index) => {
    let top = 100;
    for (const part of parts) {
      const height = (100 * row[part]) / most;
      top -= height;
      const bar = document.createElementNS(SVG, "rect");
      for (const [name, size] of Object.entries({ x: index + 0.1, y: top, width: 0.8, height })) bar.setAttribute(name, size);
      bar.setAttribute("class", part);
      svg.append(bar);
    }
  });
  return el("figure", { class: "chart" },
    el("figcaption", {}, el("span", { text: title }), el("strong", { text: value })),
    svg, el("p", { class: "axis", "aria-hidden": "true" }, el("span", { text: t`${days} days ago` }), el("span", { text: t("today") })));
}

function personRow(person) {
  return el("tr", {},
    el("td", {}, person.user, person.joined.map((account) => el("small", { class: "joined", text: t`also ${account}` })), person.is_banned && el("span", { class: "banned", text: ` ${t("banned")}` })),
    el("td", { class: "number", dataset: { label: t("Jobs") }, text: number(person.jobs) }),
    el("td", { class: "number", dataset: { label: t("Failed") }, text: number(person.failed) }),
    el("td", { class: "number", dataset: { label: t("Credits") }, text: number(person.credits) }),
    el("td", { dataset: { label: t("Last") }, text: moment(person.last_at) }),
    el("td", {}, el("button", { type: "button", class: "ghost", text: t("Open"), "aria-label": t`Open ${person.user}`, onclick: () => openPerson(person.user) })));
}

async function openPerson(user) {
  const dialog = $("person");
  $("person-title").textContent = user;
  for (const id of ["person-quota", "person-strikes", "person-line"]) $(id).textContent = "";
  for (const form of dialog.querySelectorAll("form")) form.reset();
  dialog.showModal();
  $("person-close").focus();
  await showPerson(user);
}

async function showPerson(user) {
  try {
    $("person-quota").textContent = await say(`quota ${user}`, true);
    $("person-strikes").textContent = await say(`strikes ${user}`, true);
  } catch (error) {
    $("person-line").textContent = error.message;
  }
}

async function withPerson(words) {
  const user = $("person-title").textContent;
  try {
    $("person-line").textContent = await say(words(user), true);
  } catch (error) {
    $("person-line").textContent = error.message;
    return;
  }
  await Promise.all([showPerson(user), showUse(), showActs()]);
}

const PERSON_ACTS = {
  grant: (value) => withPerson((user) => `quota grant ${user} ${value}`),
  set: (value) => withPerson((user) => `quota set ${user} ${value || "default"}`),
  ban: (value) => {
    const user = $("person-title").textContent;
    ask(t("Ban"), t`Ban ${user}, and cancel what waits?`, [
      { text: t("Keep") },
      { text: t("Ban"), isDanger: true, act: () => withPerson(() => `ban ${user} ${value}`.trim()) },
    ], () => {});
  },
};

/* The audit log, and commands. */

async function showActs(isMore = false) {
  page = isMore ? page + 1 : 1;
  const acts = await api.acts($("audit-search").value.trim(), page);
  const items = acts.map(({ made_at, admin, act, subject, detail }) => el("li", {},
    el("time", { datetime: new Date(made_at * 1000).toISOString(), text: moment(made_at) }),
    el("span", { class: "who", text: admin }),
    el("span", { text: [act, subject, detail].filter(Boolean).join(" · ") })));
  if (isMore) $("acts").append(...items);
  else $("acts").replaceChildren(...items);
  $("acts-empty").hidden = $("acts").childElementCount > 0;
  $("acts-more").hidden = acts.length < 50;
}

/** A refusal of something that is looked up. */
const told = (looking) => looking.catch((error) => answer(error.message, true));

$("command").addEventListener("submit", async (event) => {
  event.preventDefault();
  const words = $("command-text").value.trim().replace(/^admin\s+/i, "") || "help";
  try {
    $("said").replaceChildren(...prose(await say(words, true)));
    $("command-text").value = "";
  } catch (error) {
    $("said").replaceChildren(el("p", { class: "wrong", text: error.message }));
  }
  refresh();
  told(showActs());
});
$("reload").addEventListener("click", doing(() => say("presets reload")));
$("acts-more").addEventListener("click", () => told(showActs(true)));
$("audit-search").addEventListener("input", debounce(250, () => told(showActs())));
$("people-search").addEventListener("input", debounce(250, () => told(showUse())));
$("person-close").addEventListener("click", () => $("person").close());
$("person-reset").addEventListener("click", () => withPerson((user) => `quota reset ${user}`));
$("person-lift").addEventListener("click", () => withPerson((user) => `strikes lift ${user}`));
$("person-unban").addEventListener("click", () => withPerson((user) => `unban ${user}`));
for (const form of document.querySelectorAll(".person-act")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    PERSON_ACTS[form.dataset.act](form.querySelector("input").value.trim());
  });
}
$("days").replaceChildren(...DAYS.map((count) => el("span", { class: "segment" },
  el("button", {
    type: "button", text: t`${count} days`, "aria-pressed": String(count === days),
    onclick: (event) => {
      days = count;
      for (const each of $("days").querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === event.currentTarget));
      told(showUse());
    },
  }))));

await refresh();
await Promise.all([told(showUse()), told(showActs())]);
document.documentElement.dataset.ready = "true";
setInterval(() => {
  if (!document.hidden) refresh();
}, EVERY);
