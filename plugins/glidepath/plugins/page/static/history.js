// The images of the folder.

import { $, ask, say } from "./tools.js";
import { card } from "./make.js";

let last = "";

export function start() {
  $("tab-history").addEventListener("click", () => list(""));
  $("older").addEventListener("click", () => list(last));
}

async function list(before) {
  try {
    const { images } = await ask(`/api/images${before ? `?before=${encodeURIComponent(before)}` : ""}`);
    const cards = images.map(card);
    if (before) $("history").append(...cards);
    else $("history").replaceChildren(...cards);
    last = images.at(-1)?.file ?? last;
    $("older").hidden = images.length < 60;
    say("history-said", images.length || before ? "" : "Nothing has been made yet.");
  } catch (error) {
    say("history-said", error.message, true);
  }
}
