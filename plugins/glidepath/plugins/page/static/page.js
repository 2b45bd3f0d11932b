// The page: its views, what is dropped on it, and its beginning.

import { $, ask, readFile, say } from "./tools.js";
import * as spec from "./spec.js";
import * as form from "./form.js";
import * as text from "./text.js";
import * as jobs from "./jobs.js";
import * as paint from "./paint.js";
import * as make from "./make.js";
import * as compare from "./compare.js";
import * as history from "./history.js";
import * as work from "./work.js";

const tabs = [...document.querySelectorAll("[role=tab]")];

function choose(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    $(other.getAttribute("aria-controls")).hidden = !chosen;
  }
}

for (const [index, tab] of tabs.entries()) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(index + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
  });
}

// A picture that is dropped restores what made it, or is one to start from.
function drops() {
  const holds = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let inside = 0;
  const shown = (by) => ($("dropping").hidden = (inside += by) <= 0);
  addEventListener("dragenter", (event) => holds(event) && shown(1));
  addEventListener("dragleave", (event) => holds(event) && shown(-1));
  addEventListener("dragover", (event) => holds(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!holds(event)) return;
    event.preventDefault();
    shown(-inside);
    const file = event.dataTransfer.files[0];
    if (file) await dropped(file);
  });
}

async function dropped(file) {
  try {
    const address = await readFile(file);
    try {
      await make.restore({ png: address });
    } catch (error) {
      await paint.take(address, { name: file.name });
      say("said", `It carries nothing to restore, and is a picture to start from. ${error.message}`);
    }
  } catch (error) {
    say("said", error.message, true);
  }
}

async function begin() {
  try {
    spec.begin(await ask("/api/begin"));
  } catch (error) {
    return say("said", error.message, true);
  }
  form.start();
  text.start();
  paint.start();
  make.start();
  compare.start();
  history.start();
  work.start();
  jobs.start();
  drops();
  document.documentElement.dataset.ready = "true";
}

begin();
