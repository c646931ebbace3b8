/** The page, put together from its parts. */

import { $, announce, debounce, duration, el, plural, prose, sentence } from "./dom.js";
import { api } from "./api.js";
import { Composer } from "./composer.js";
import { choicesRow, Conversation, jobsCard, pictureOf, presetsCard, quotaCard, quotaLine } from "./conversation.js";
import { Held } from "./held.js";
import { History } from "./history.js";
import { stars } from "./stars.js";
import { isFinal, Jobs } from "./jobs.js";
import { lorasCard } from "./loras.js";
import { modelsCard } from "./models.js";
import { Options } from "./options.js";
import { asJob } from "./reading.js";
import { Notifier } from "./notifier.js";
import { openLinked } from "./picture-link.js";
import { Viewer } from "./viewer.js";
import { askForChange, knowChanging } from "./changing.js";
import { knowEnlarging } from "./enlarging.js";
import { askToDelete, saveExport, saveText } from "./own-data.js";
import { goOn } from "./linking.js";
import { ask } from "./question.js";
import "./signing-in.js";
import { offer, t } from "./languages.js";

const RECENT = 12;
const DRAFT = "fluxbot-draft";
const jobs = new Jobs();
const others = "BroadcastChannel" in window ? new BroadcastChannel("fluxbot") : null;
let about = { verbs: [], options: [], examples: [], limits: {} };

/** What is being asked for: a second click on the same button asks for nothing more. */
const asking = new Set();

async function askOnce(name, ask) {
  if (asking.has(name)) return;
  asking.add(name);
  try {
    accept(await ask());
  } catch (error) {
    composer.notice(error.message);
  } finally {
    asking.delete(name);
  }
}

/* What can be done with a job, from wherever it is shown. */
const acts = {
  /** Draw a new picture from a whole job, or from one picture of it. */
  again: (job, number) => askOnce(`again ${job.id} ${number}`, () => api.again(job.id, { number })),
  /** Show exactly these pixels again; they are drawn where they are no longer there. */
  same: (job, number) => (pictureOf(job, number ?? 1) ? acts.open(job, number ?? 1)
    : askOnce(`same ${job.id} ${number}`, () => api.again(job.id, { number, same: true }))),
  /** Draw a variation of one picture: "subtle" or "strong". */
  vary: (job, how, number = 1) => askOnce(`vary ${job.id} ${how} ${number}`, () => api.vary(job.id, how, number)),
  upscale: (job, which) =>
    askOnce(`upscale ${job.id} ${which}`, async () => (await api.say(`upscale ${job.id} ${which}`)).job),
  final: (job, which) =>
    askOnce(`final ${job.id} ${which}`, async () => (await api.say(`final ${job.id} ${which}`)).job),
  remove(job) {
    const question = job.images > 1 ? t("Delete these pictures for good? The credits stay spent.")
      : t("Delete this picture for good? The credits stay spent.");
    ask(t("Delete"), question, [
      { text: t("Keep") },
      {
        text: t("Delete"),
        isDanger: true,
        act: async () => {
          jobs.put(await api.deletePictures(job.id));
        },
      },
    ], (error) => composer.notice(error.message));
  },
  async cancel(job) {
    try {
      jobs.put(await api.cancel(job.id));
      refreshQuota();
    } catch (error) {
      // The job ended before the click: its card says so already.
      if (error.status !== 409) composer.notice(error.message);
    }
  },
  /** Change one picture as words say. */
  change: (job, which) => askForChange(pictureOf(job, which).url, async (words) => {
    const bubble = conversation.say(t`Edit: ${words}`, {});
    try {
      await answer(await api.say(`edit ${job.id} ${which} ${words}`), bubble);
    } catch (error) {
      bubble.undo();
      composer.notice(error.message, error);
    }
  }),
  canExpand: () => Boolean(about.can_expand),
  expand: (job) => send(`expand ${job.id}`, t`Expand: ${job.prompt}`),
  /** Cancel all of a series that is left. */
  async stop(series) {
    try {
      for (const job of (await api.say(`cancel ${series} all`)).jobs) jobs.put(job);
      refreshQuota();
    } catch (error) {
      if (error.status !== 409) composer.notice(error.message);
    }
  },
  async edit(job) {
    const preset = options.presets.find(({ name }) => name === job.preset);
    const other = (name) => (preset && String(job[name]) !== String(preset[name]) ? job[name] : undefined);
    options.lend({
      preset: preset?.name,
      num_inference_steps: other("num_inference_steps"),
      guidance_scale: other("guidance_scale"),
      strength: job.strength !== null ? other("strength")
        : job.controlnet_conditioning_scale === null ? undefined : other("controlnet_conditioning_scale"),
      control_guidance_start: job.control_guidance_start === null ? undefined : other("control_guidance_start"),
      control_guidance_end: job.control_guidance_end === null ? undefined : other("control_guidance_end"),
      width: other("width") || other("height") ? job.width : undefined,
      height: other("width") || other("height") ? job.height : undefined,
      images: job.images > 1 ? job.images : undefined,
      negative_prompt: job.negative_prompt || undefined,
      loras: job.loras || undefined,
      seed: job.seed,
    });
    composer.text = job.prompt;
    composer.focus();
    if (job.control?.image) await attachFrom(job.control.image, t("control image"), [job.crop_x, job.crop_y], job.control.mask, job.control.next_images, job.is_map);
  },
  async useAsControl(job, which) {
    await attachFrom(pictureOf(job, which).url, `${job.id}.png`);
    composer.focus();
  },
  canTell: () => notifier.canAsk,
  /** Whether the browser lets us tell of the end of a job. */
  async tell(job) {
    const isGranted = await notifier.want(job);
    if (!isGranted) composer.notice(t("Your browser shows no notifications of this page; its settings can change that."), { isCalm: true });
    return isGranted;
  },
  open: (job, which, album) => viewer.open(job, which, album),
  /** Fill in what a picture's file says (`/api/inspect`), as far as it can be drawn here. */
  async use(found) {
    const job = found.job_id ? await api.job(found.job_id).catch(() => null) : null;
    const isOwn = job?.prompt === found.prompt;
    await acts.edit(isOwn ? { ...job, seed: found.seed ?? job.seed, images: 1 }
      : asJob(found, options, defaultPreset, about.limits));
    if (options.preset.needs_image && !options.image) {
      composer.notice(t`It was drawn from a picture, with the preset ${options.preset.name}: attach that picture too.`, { isCalm: true });
    }
  },
};

async function attachFrom(url, name, crop = null, mask = null, next = [], isMap = false) {
  const [first, ...others] = await Promise.all([url, ...next].map((each) => fileAt(each, name)));
  if (!first) {
    composer.notice(t("That picture was deleted for its age."));
    return;
  }
  await options.attach(first, {
    isKnown: true, crop: crop?.some((share) => share !== 0.5) ? crop : null, mask: mask && await imageAt(mask), isMap,
  });
  if (others.length) await options.addNext(others.filter(Boolean));
}

/** The file at *url*, called *name*; null where it is there no longer. */
async function fileAt(url, name) {
  const answer = await fetch(url).catch(() => null);
  const blob = answer?.ok && await answer.blob();
  return blob ? new File([blob], name, { type: blob.type }) : null;
}

/** The image at *url*; null where it is there no longer. */
async function imageAt(url) {
  const image = new Image();
  image.src = url;
  return image.decode().then(() => image, () => null);
}

const composer = new Composer({
  context: () => ({
    verbs: about.verbs, options: about.options, presets: options.presets, loras: options.loras.all,
    recent: jobs.all.sort((a, b) => b.submitted_at - a.submitted_at),
  }),
  onSend: send,
  onInput: () => {
    sessionStorage.setItem(DRAFT, $("message").value);
    options.follow();
  },
});
const options = new Options({
  text: () => $("message").value,
  onError: (message) => composer.notice(message),
  onChange: () => composer.reconsider(),
  onUse: (found) => acts.use(found),
  onRetype: (text) => (composer.text = text),
});
const conversation = new Conversation({ acts, jobs, presets: () => byDefault(options.presets) });
const viewer = new Viewer({ acts, jobs, everything: () => history.everything });
const history = new History({ acts, jobs });
const notifier = new Notifier({ jobs, open: acts.open });
const held = new Held();

/** The presets, the default one first: a job's chips name only what differs from it. */
function byDefault(presets) {
  return [...presets].sort((a, b) => (b.name === defaultPreset) - (a.name === defaultPreset));
}
let defaultPreset = "";

/** A job that has just been accepted. */
function accept(job, { said = true } = {}) {
  const known = jobs.put(job);
  if (!conversation.has(job.id)) conversation.showJob(known, { said });
  others?.postMessage(job);
  refreshQuota();
  // Drawing may have been paused since the last look, and then no start is near.
  watchEngine();
}

let saying = 0; // messages whose answer is awaited

async function send(text, shown = text) {
  const words = shown.trim();
  const image = options.preset?.needs_image ? options.image?.url : null;
  const chips = [...$("chips").querySelectorAll(".chip > span")].map((chip) => chip.textContent);
  const bubble = conversation.say(words, { chips, image });
  const taken = options.take();
  composer.text = "";
  composer.clearNotice();
  try {
    saying += 1;
    const reply = await api.say(text, { image: taken.image?.url, mask_image: taken.mask, ...taken.next }, taken.chosen).finally(() => (saying -= 1));
    // Options lent to a prompt, and its picture, stay for the next prompt.
    if (!["imagine", "series", "edit"].includes(reply.kind)) options.putBack(taken);
    await answer(reply, bubble);
  } catch (error) {
    bubble.undo();
    options.putBack(taken);
    $("welcome").hidden = !conversation.isEmpty;
    // Keep text that was typed meanwhile.
    if (!composer.text) composer.text = text;
    const wait = error.retryAfter && error.status === 429 ? ` ${t`Try again in ${duration(error.retryAfter)}.`}` : "";
    composer.notice(error.message + wait, error);
    if (error.field === "mask_image" && options.image && !taken.mask) options.paint();
    if (error.field === "control_image" && !options.image) openPanel("options", true, { focus: false });
  }
}

/** Show what the bot replied, each kind in its own way. */
async function answer(reply, bubble) {
  // Options and the picture belong to prompts alone.
  if (reply.kind === "edit") bubble.keep();
  else bubble.mean(reply.kind === "imagine" ? reply.job : null);
  if (reply.job && ["imagine", "again", "vary", "edit", "upscale", "final", "answer"].includes(reply.kind)) {
    accept(reply.job, { said: false });
    return;
  }
  if (reply.kind === "answer" && reply.jobs.length) {
    for (const job of reply.jobs) accept(job, { said: false });
    return;
  }
  for (const job of reply.jobs) jobs.put(job);
  const known = reply.jobs.map(({ id }) => jobs.get(id));
  const text = prose(reply.text);
  if (reply.kind === "presets") {
    const { presets } = await api.presets();
    conversation.answer(presetsCard(presets, (name) => {
      options.choosePreset(name);
      composer.focus();
    }));
  } else if (reply.kind === "loras" && options.loras.all.length) {
    conversation.answer(lorasCard(options.loras.all, ({ name, lora_scale: weight, presets: takers }) => {
      if (takers.length && !takers.includes(options.preset.name)) options.choosePreset(takers[0]);
      options.loras.choose(name, weight);
      composer.focus();
    }));
  } else if (reply.kind === "models") {
    conversation.answer(modelsCard((await api.models()).models, (name) => {
      options.choosePreset(name);
      composer.focus();
    }));
  } else if (reply.kind === "quota") {
    conversation.answer(quotaCard(await api.quota()));
  } else if (reply.kind === "show" && reply.job) {
    conversation.showJob(jobs.put(reply.job), { said: false });
  } else if (reply.kind === "history" && known.length) {
    conversation.answer(jobsCard(known, acts));
  } else if (reply.kind === "cancel" && reply.job) {
    jobs.put(reply.job);
    conversation.answer(...text);
    refreshQuota();
  } else if (known.length) {
    conversation.answer(...text, jobsCard(known, acts));
  } else {
    conversation.answer(...text, ...(reply.choices.length ? [choicesRow(reply.choices, send)] : []));
    if (reply.is_export) saveExport();
    if (reply.file) saveText(reply.file.name, reply.file.text);
    if (reply.asks_to_delete) {
      // The page begins anew, since nothing that it shows is there any longer.
      askToDelete(reply.text, () => location.reload(), (error) => {
        conversation.answer(...prose(sentence(error.message)));
      });
    }
    if (reply.link) {
      goOn(reply.link, {
        onSay: send,
        onTold: (words) => conversation.answer(...prose(words)),
        onRefused: (error) => conversation.answer(...prose(sentence(error.message))),
      });
    }
    if (reply.kind === "settings" || reply.kind === "admin") loadPresets();
    if (reply.kind === "settings") notifier.follow();
    if (reply.kind === "admin") watchEngine();
    refreshQuota();
  }
}

/* The head of the page. */

let isUnreachable = false;
let nextLook;

async function watchEngine() {
  clearTimeout(nextLook);
  let pause = 10000;
  try {
    const status = await api.status();
    showEngine(status.engine);
    held.count = status.held;
    $("sign-out").hidden = !status.is_signed_in;
    showWho(status.user.replace(/^web:/, ""));
    if (status.engine.status !== "ready") pause = status.engine.status === "loading" ? 700 : 2000;
    for (const job of status.mine) {
      // A stream is newer than an answer that crosses it.
      const known = jobs.get(job.id) ?? jobs.put(job);
      // A new job may belong to a message on its way: then the answer shows it.
      if (hasLoaded && !saying && !conversation.has(job.id)) conversation.showJob(known);
    }
    if (isUnreachable) await comeBack();
  } catch (error) {
    if (error.status === 0) {
      isUnreachable = true;
      showEngine({ status: "unreachable", message: t("the bot cannot be reached; trying again") });
    }
    pause = 2000;
  }
  if (document.hidden) {
    pause = jobs.unfinished.length ? 3000 : 30000;
    await jobs.catchUp();
  }
  clearTimeout(nextLook);
  nextLook = setTimeout(watchEngine, pause);
}

function showWho(name) {
  const label = t`Signed in as ${name} · sign out`;
  if ($("sign-out").title === label) return;
  $("sign-out").title = label;
  $("sign-out").setAttribute("aria-label", label);
  $("signed-in").textContent = name;
}

/** Show in the tab's title how many pictures are on their way, and that the last is there. */
function showTitle() {
  const count = jobs.unfinished.length;
  if (count) document.title = `(${count}) fluxbot`;
  else if (document.title !== "fluxbot") document.title = document.hidden ? "✓ fluxbot" : "fluxbot";
}
document.addEventListener("visibilitychange", () => {
  showTitle();
  watchEngine();
});

/** Catch up with a bot that is there again, perhaps with other presets. */
async function comeBack() {
  isUnreachable = false;
  if (!hasLoaded) location.reload();
  about = await api.about();
  knowEnlarging(about);
  knowChanging(about);
  await loadPresets();
  await jobs.catchUp();
  refreshQuota();
}

jobs.addEventListener("drop", watchEngine);

let engineStatus = "";

function showEngine({ status, message }) {
  const texts = {
    loading: t("Loading the model… you can already ask"),
    failed: sentence(message || t("the model cannot be loaded")),
    paused: sentence(message || "paused"),
    draining: sentence(message || t("no new jobs are accepted")),
    stopping: t("Stopping"),
    unreachable: sentence(message),
  };
  $("engine").dataset.status = status;
  $("engine").hidden = status === "ready" && engineStatus !== "loading";
  const text = texts[status] ?? t("Ready");
  if ($("engine-text").textContent !== text) $("engine-text").textContent = text;
  if (status === "ready" && engineStatus === "loading") {
    setTimeout(() => ($("engine").hidden = engineStatus === "ready"), 4000);
  }
  if (status !== engineStatus) {
    conversation.engine = status;
    options.engine = status;
  }
  engineStatus = status;
}

const refreshQuota = debounce(120, async () => {
  try {
    const quota = await api.quota();
    const all = quota.credits + quota.granted;
    $("quota").hidden = false;
    $("quota").title = quotaLine(quota);
    $("quota-text").textContent = plural(quota.left, "credit");
    const meter = $("quota-meter");
    meter.setAttribute("aria-valuemax", all);
    meter.setAttribute("aria-valuenow", quota.left);
    meter.setAttribute("aria-valuetext", quotaLine(quota));
    const share = all ? quota.left / all : 0;
    meter.firstElementChild.style.inlineSize = `${share * 100}%`;
    meter.classList.toggle("low", share < 0.1);
  } catch {
    // The engine's lamp shows that the bot cannot be reached.
  }
  options.refreshQuote();
});

/* Panels. */

const isNarrow = () => matchMedia("(max-width: 859px)").matches;

function openPanel(name, isOpen, { focus = true } = {}) {
  const panel = $(name);
  const opener = $(`${name}-button`);
  if (isOpen && isNarrow()) {
    for (const other of ["history", "options"]) if (other !== name) openPanel(other, false, { focus: false });
  }
  panel.hidden = !isOpen;
  opener.setAttribute("aria-expanded", String(isOpen));
  document.body.classList.toggle("covered", isNarrow() && (!$("history").hidden || !$("options").hidden));
  document.querySelector(".chat").inert = document.body.classList.contains("covered");
  if (isOpen && name === "history") history.refresh();
  if (focus) (isOpen ? panel.querySelector("input:checked, input, button") : opener).focus();
}

for (const name of ["history", "options"]) {
  $(`${name}-button`).addEventListener("click", () => openPanel(name, $(name).hidden));
  $(`${name}-close`).addEventListener("click", () => openPanel(name, false));
  $(name).addEventListener("keydown", (event) => event.key === "Escape" && openPanel(name, false));
}
matchMedia("(max-width: 859px)").addEventListener("change", () => {
  for (const name of ["history", "options"]) openPanel(name, false, { focus: false });
});

/* Files that are dropped or pasted anywhere. */

let depth = 0;
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragenter", (event) => {
  if (!hasFiles(event)) return;
  depth += 1;
  $("dropping").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!hasFiles(event)) return;
  depth -= 1;
  if (depth <= 0) $("dropping").hidden = true;
});
addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  depth = 0;
  $("dropping").hidden = true;
  const file = event.dataTransfer.files[0];
  if (file) options.attach(file);
});
addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
  if (!file) return;
  event.preventDefault();
  options.attach(file);
});

// Typing anywhere is typing a message.
addEventListener("keydown", (event) => {
  const isTyping = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey;
  if (isTyping && event.key !== " " && document.activeElement === document.body) composer.focus();
});

/* Signing in. */

offer($("language"));

$("link-button").addEventListener("click", () => {
  if (matchMedia("(max-width: 1179px)").matches) openPanel("history", false);
  send("link");
});

const SIGNED_OUT = "signed out";

/** Sign out, and leave nothing of the person on any open page. */
async function signOut(everywhere) {
  await api.signOut(everywhere);
  sessionStorage.removeItem(DRAFT);
  others?.postMessage(SIGNED_OUT);
  location.reload();
}

$("sign-out").addEventListener("click", () => ask(
  t("Sign out"),
  t`You are signed in as ${$("signed-in").textContent}. Your pictures stay, and waiting ones are drawn. You need your token, or a new link, to sign in again.`,
  [
    { text: t("Stay") },
    { text: t("Sign out everywhere"), act: () => signOut(true) },
    { text: t("Sign out here"), act: () => signOut(false) },
  ],
  (error) => composer.notice(error.message),
));

/* The beginning. */

let hasLoaded = false;
let older = null;

async function loadPresets() {
  const presets = await api.presets();
  defaultPreset = presets.default;
  options.configure(presets, about);
  history.configure(presets);
}

async function loadConversation() {
  const page = await api.history({ limit: RECENT });
  stars.learn(page);
  for (const job of page.jobs) conversation.showJob(jobs.put(job), { before: true });
  older = page.next;
  $("earlier").hidden = older === null;
  conversation.toEnd("instant");
}

$("earlier").addEventListener("click", async () => {
  const { scrollHeight } = conversation.scroll;
  const page = await api.history({ before: older, limit: RECENT });
  stars.learn(page);
  for (const job of page.jobs) conversation.showJob(jobs.put(job), { before: true });
  older = page.next;
  $("earlier").hidden = older === null;
  conversation.scroll.scrollTop += conversation.scroll.scrollHeight - scrollHeight;
  announce(t("Earlier pictures are shown"));
});

function welcome() {
  $("about").textContent = about.text;
  $("examples").replaceChildren(...about.examples.map((example) => el("li", {},
    el("button", { type: "button", class: "example", onclick: () => send(example) }, example))));
  $("welcome").hidden = !conversation.isEmpty;
}

others?.addEventListener("message", ({ data: job }) => {
  if (job === SIGNED_OUT) {
    location.reload();
    return;
  }
  const known = jobs.put(job);
  if (hasLoaded && !conversation.has(job.id)) conversation.showJob(known);
});
jobs.addEventListener("change", ({ detail }) => {
  showTitle();
  if (isFinal(detail) && hasLoaded) refreshQuota();
});
addEventListener("pagehide", () => others?.close());

watchEngine();
try {
  about = await api.about();
  knowEnlarging(about);
  knowChanging(about);
  $("admin-link").hidden = !about.verbs.some(({ word }) => word === "admin");
  await Promise.all([loadPresets(), notifier.follow()]);
  await loadConversation();
  hasLoaded = true;
  welcome();
  refreshQuota();
  composer.text ||= sessionStorage.getItem(DRAFT) ?? "";
  if (matchMedia("(min-width: 1180px)").matches && !conversation.isEmpty) {
    openPanel("history", true, { focus: false });
  }
  openLinked(acts.open, (error) => composer.notice(sentence(error.message)));
  document.documentElement.dataset.ready = "";
  if (!matchMedia("(pointer: coarse)").matches) composer.focus();
} catch (error) {
  if (error.status !== 401) composer.notice(sentence(error.message));
}
