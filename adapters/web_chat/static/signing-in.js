/** Signing in: by a token, by a link, or where one has an account already. */

import { $, el, sentence } from "./dom.js";
import { api, whenSignedOut } from "./api.js";
import { t } from "./languages.js";

const TROUBLES = {
  late: t("That took too long, or began in another browser. Try again."),
  refused: t("You were not signed in."),
  unknown: t("The bot does not draw for people from there."),
  failed: t("You could not be signed in. Try again in a moment."),
};
const PLATFORMS = { discord: "Discord", slack: "Slack" };

async function showSignIn() {
  if ($("sign-in").open) return;
  $("sign-in").showModal();
  const { providers } = await api.providers().catch(() => ({ providers: [] }));
  $("sign-in-with").replaceChildren(...providers.map((name) => el("a", {
    class: "ghost", href: `/api/sign-in/${name}`, text: t`Sign in with ${PLATFORMS[name] ?? name}`,
  })));
}

whenSignedOut(showSignIn);
$("sign-in").addEventListener("cancel", (event) => event.preventDefault());
$("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await api.signIn($("token").value.trim());
    location.reload();
  } catch (error) {
    $("sign-in-wrong").textContent = sentence(error.message);
    $("token").select();
  }
});

/** Offer to sign in with the link that was followed, whose secret stands behind the #. */
function signInByLink() {
  const found = new URLSearchParams(location.hash.slice(1));
  const secret = found.get("sign-in");
  const trouble = TROUBLES[found.get("sign-in-trouble")];
  if (trouble) {
    window.history.replaceState(null, "", location.pathname);
    $("sign-in-wrong").textContent = trouble;
    showSignIn();
  }
  if (!secret) return;
  window.history.replaceState(null, "", location.pathname);
  $("token").value = secret;
  $("sign-in-text").textContent = t("This link signs you in, once. Whoever has sent it to you may see what you draw: go on if you asked for it, or know who gave it to you.");
  showSignIn();
}
addEventListener("hashchange", signInByLink);
signInByLink();
