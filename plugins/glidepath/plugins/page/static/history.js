// The images of the folder, by the days on which they were made.

import { $, ask, el, later, say } from "./tools.js";
import { card } from "./make.js";
import { spec } from "./spec.js";

let last = "";
let asked = 0;

export function start() {
  $("history-folder").textContent = spec.known.out;
  $("tab-history").addEventListener("click", () => list(""));
  $("older").addEventListener("click", () => list(last));
  $("find").addEventListener("input", later(250, () => list("")));
}

async function list(before) {
  const own = (asked += 1);
  const find = $("find").value.trim();
  try {
    const { images } = await ask(`/api/images?${new URLSearchParams({ before, find })}`);
    if (own !== asked) return; // somebody typed on meanwhile
    if (!before) $("history").replaceChildren();
    for (const image of images) place(image);
    last = images.at(-1)?.file ?? last;
    $("older").hidden = images.length < 60;
    say("history-said", images.length || before ? "" : find ? "No image has all of these words." : nothing());
  } catch (error) {
    say("history-said", error.message, true);
  }
}

function nothing() {
  return `There is no image in the folder ${spec.known.out} yet: Generate puts one there. \`glidepath page --out DIR\` shows another folder.`;
}

function place(image) {
  const day = dayOf(new Date(image.made * 1000));
  if ($("history").lastElementChild?.dataset.day !== day) {
    $("history").append(el("section", { "data-day": day }, el("h3", { textContent: day }), el("ul", { class: "pictures" })));
  }
  $("history").lastElementChild.lastElementChild.append(card(image));
}

function dayOf(date) {
  const told = date.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
  const today = new Date();
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  const name = [["Today", today], ["Yesterday", yesterday]].find(([, other]) => other.toDateString() === date.toDateString());
  return name ? `${name[0]}, ${told}` : told;
}
