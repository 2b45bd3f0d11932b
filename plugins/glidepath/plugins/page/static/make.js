// Images: what is asked, the walk while it goes and afterwards, and what came of it.

import { $, ask, duration, el, loaded, readFile, say, used, yaml } from "./tools.js";
import { at, change, onSpec, replaced, replacedSlots, spec } from "./spec.js";
import { ended, jobs, keep, onJob } from "./jobs.js";
import * as paint from "./paint.js";
import { chosenSize, planAgain } from "./text.js";

// current: the job that is shown. line: those that were asked for after it, which are shown in their turn. frame: the
// address of the state of a walk that was asked for last.
const state = { current: null, line: [], first: 0, others: {}, frame: "" };

export function start() {
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    generate();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !$("view-make").hidden) $("ask").requestSubmit();
  });
  $("stop").addEventListener("click", () => state.current && cancel(state.current));
  $("forward").addEventListener("click", forward);
  $("walk-slider").addEventListener("input", showFrame);
  $("walk-what").addEventListener("change", showFrame);
  $("size").addEventListener("change", planAgain);
  for (const id of ["prompts", "seed", "count", "negative"]) $(id).addEventListener("input", () => (state.first = 0));
  $("steps").addEventListener("change", () => {
    const value = $("steps").value.trim();
    change(stepsPath(), value ? { yaml: value } : { remove: true });
  });
  for (const id of ["labels", "texts"]) $(id).addEventListener("input", inUse);
  $("other-file").addEventListener("change", async () => {
    const name = $("other-name").value.trim();
    const file = $("other-file").files[0];
    if (!file) return;
    if (!name) return say("said", "Say what the picture is for: a name such as control.", true);
    state.others[name] = await readFile(file);
    $("other-file").value = "";
    others();
  });
  onSpec(steps);
  onJob(news);
  steps();
}

// Of a cascade the field is that of the first stage.
function stepsPath() {
  const stages = spec.check.tree.stages;
  const first = stages && typeof stages === "object" ? Object.keys(stages)[0] : "";
  return first ? `stages.${first}.sampler.steps` : "sampler.steps";
}

function steps() {
  const field = $("steps");
  field.closest("label").hidden = replacedSlots(spec.check.tree).has("sampler");
  if (document.activeElement === field) return;
  const value = at(spec.check.tree, stepsPath());
  field.value = yaml(value);
  field.placeholder = yaml(at(spec.check.resolved ?? {}, stepsPath()));
}

function inUse() {
  used("more-used", $("labels").value && `classes ${$("labels").value}`, $("texts").value && "texts", ...Object.keys(state.others));
}

function others() {
  inUse();
  $("others").replaceChildren(...Object.keys(state.others).map((name) => el("li", {}, name,
    el("button", { type: "button", class: "bare", textContent: "×", "aria-label": `Take ${name} away`,
      onclick: () => { delete state.others[name]; others(); } }))));
}

export function request() {
  const { pictures, strength } = paint.asked();
  const prompts = $("prompts").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const texts = {};
  for (const line of $("texts").value.split("\n")) {
    const [name, ...rest] = line.split("=");
    if (rest.length) texts[name.trim()] = rest.join("=").trim();
    else if (line.trim()) throw new Error(`Texts: “${line.trim()}” has no =; write a line such as prompt_2 = a red circle.`);
  }
  return {
    text: spec.text,
    prompts: prompts.length ? prompts : [""],
    negative: $("negative").value || null,
    texts,
    seed: Number($("seed").value || 0),
    count: Number($("count").value || 1),
    first: state.first,
    labels: ($("labels").value.match(/\d+/g) ?? []).map(Number),
    size: chosenSize(),
    strength,
    pictures: { ...state.others, ...pictures },
  };
}

export function drawSeed() {
  if ($("draw").checked) {
    $("seed").value = crypto.getRandomValues(new Uint32Array(1))[0];
    state.first = 0;
  }
}

async function generate() {
  drawSeed();
  say("said", "");
  try {
    show(await ask("/api/make", request()));
  } catch (error) {
    say("said", error.message, true);
  }
}

async function forward() {
  say("said", "");
  try {
    show(await ask("/api/noise", { ...request(), pictures: { image: paint.picture() }, strength: null }));
  } catch (error) {
    say("said", error.message, true);
  }
}

async function cancel(id) {
  await ask(`/api/jobs/${id}`, undefined, { method: "DELETE" }).catch((error) => say("said", error.message, true));
}

function show(job) {
  state.line.push(job.id);
  keep(job);
}

// Shows the next, once what is shown has ended. Its picture stays until there is another.
function follow() {
  if (jobs.has(state.current) && !ended(jobs.get(state.current))) return;
  state.line = state.line.filter((id) => jobs.get(id)?.state !== "cancelled");
  if (!state.line.length) return;
  state.current = state.line.shift();
  $("walk").hidden = true;
  $("made").replaceChildren();
  $("shown").addEventListener("load", intoSight, { once: true });
  news(jobs.get(state.current));
}

function news(job, step) {
  told(job, step);
  follow();
  queue();
}

function told(job, step) {
  if (job.id !== state.current || job.group) return;
  const busy = !ended(job);
  $("stop").hidden = !busy;
  $("bar").hidden = !busy;
  $("bar").max = job.total || 1;
  if (job.index) $("bar").value = job.index;
  else $("bar").removeAttribute("value");
  if (step?.preview) picture(step.preview, `predicted image after step ${step.index} of ${step.total}`);
  if (step) say("said", `Step ${step.index} of ${step.total}${step.stage ? `, stage ${step.stage}` : ""}`);
  else if (job.state === "waiting") say("said", "Waiting for what is made before…");
  else if (job.state === "loading") say("said", "Loading the model…");
  else if (job.state === "failed") say("said", job.message, true);
  else if (job.state === "cancelled") say("said", "Cancelled.");
  else if (job.state === "done") finished(job);
}

// Where somebody works elsewhere on the page, it stays where it is.
function intoSight() {
  const at = document.activeElement;
  if (at !== document.body && !$("ask").contains(at)) return;
  $("result").scrollIntoView({ block: "nearest" });
  if (!$("walk").hidden) $("walk").scrollIntoView({ block: "nearest" });
}

function picture(address, told) {
  $("shown").src = address;
  $("shown").alt = told;
  $("shown-stage").hidden = false;
}

function finished(job) {
  if (job.kind === "replay") {
    return say("said", job.result.difference || "Made again: the same image, pixel for pixel.", Boolean(job.result.difference));
  }
  const { files = [], prompts = [], remarks = [] } = job.result;
  say("said", [`Done in ${duration(job.result.seconds)}.`, ...remarks].join("\n"));
  planAgain(); // it knows now how fast this machine is
  $("made").replaceChildren(...files.map((file, index) => card({ file, prompts: [prompts[index] || job.title] })));
  if (files.length === 1) picture(`/images/${encodeURIComponent(files[0])}`, job.title);
  if (job.frames.length) {
    $("walk").hidden = false;
    $("walk-slider").max = job.frames.length - 1;
    $("walk-slider").value = job.frames.length - 1;
    $("walk-what").hidden = job.kind === "noise";
    if (job.kind === "noise") showFrame();
    else mark(job, job.frames.at(-1));
  }
  $("shown").decode().catch(() => {}).finally(intoSight);
}

function mark(job, index) {
  const time = job.result.times?.[index];
  $("walk-at").textContent = job.kind === "noise"
    ? (index === 0 ? "the picture" : `t = ${typeof time === "number" ? Number(time.toFixed(3)) : time}`)
    : `step ${index} of ${job.total}`;
}

async function showFrame() {
  const job = jobs.get(state.current);
  if (!job?.frames?.length) return;
  const index = job.frames[Number($("walk-slider").value)];
  const wanted = job.kind === "noise" ? "x" : document.querySelector("input[name=what]:checked").value;
  mark(job, index);
  const address = `/api/jobs/${job.id}/${index}/${wanted}`;
  state.frame = address;
  try {
    await loaded(address);
    if (state.frame === address) picture(address, `${wanted} at step ${index}`); // not one that was asked for before
  } catch {
    if (state.frame === address) say("said", "This walk is not kept any more: Restore its picture, and Generate makes it again.", true);
  }
}

function queue() {
  const waiting = [...jobs.values()].filter((job) => !ended(job) && job.id !== state.current);
  const count = waiting.filter((job) => job.state === "waiting").length;
  $("waits").textContent = `${count} ${count === 1 ? "waits" : "wait"}`;
  $("waits").hidden = !count;
  $("queue").replaceChildren(...waiting.map((job) => el("li", {},
    el("span", {}, job.state === "waiting" ? "Waiting: " : "Now: ", job.kind === "measure" ? "the metric " : "", job.label || job.title),
    el("button", { type: "button", class: "bare", textContent: "Cancel", onclick: () => cancel(job.id) }))));
}

// A picture of the folder, with what can be done with it.
export function card(image) {
  const address = `/images/${encodeURIComponent(image.file)}`;
  const act = (text, onclick) => el("button", { type: "button", textContent: text, onclick });
  const title = image.prompts.filter(Boolean).join("; ") || (image.labels?.length ? `class ${image.labels.join(", ")}` : "no prompt");
  const facts = [
    image.made ? new Date(image.made * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" }) : "",
    image.seed !== undefined ? `seed ${image.seed}` : "",
    image.width ? `${image.width}\u00a0×\u00a0${image.height}` : "", // on one line
    image.sampler && `${image.sampler}${image.steps ? `, ${image.steps}\u00a0steps` : ""}`,
    image.guidance,
    image.model,
    image.negative ? `not: ${image.negative}` : "",
  ].filter(Boolean).join(" · ");
  return el("li", {},
    el("img", { src: address, alt: title, loading: "lazy" }),
    el("div", { class: "told" }, el("p", { textContent: title }), facts ? el("p", { class: "quiet", textContent: facts }) : null),
    el("div", { class: "acts" },
      el("a", { href: `${address}?download=1`, download: image.file, textContent: "Download" }),
      act("Start from it", () => startFrom(address, image.file)),
      act("Restore", () => restore({ file: image.file })),
      act("Replay", () => replay(image.file))));
}

async function startFrom(address, name) {
  view("make");
  await paint.take(address, { name }).catch((error) => say("said", error.message, true));
}

async function replay(file) {
  view("make");
  say("said", "");
  try {
    show(await ask("/api/replay", { file }));
  } catch (error) {
    say("said", error.message, true);
  }
}

// Sets spec, prompts, seed and pictures as the record of an image has them.
export async function restore(image) {
  view("make");
  try {
    const then = await ask("/api/restore", image);
    replaced(then.text);
    $("prompts").value = then.prompts.join("\n");
    $("negative").value = then.negative ?? "";
    $("seed").value = then.seed;
    $("draw").checked = false;
    $("count").value = then.count;
    $("labels").value = then.labels.join(", ");
    $("size").value = then.size ? `${then.size[1]} × ${then.size[0]}` : "";
    $("texts").value = Object.entries(then.texts).map(([name, text]) => `${name} = ${text}`).join("\n");
    state.first = then.first;
    const { image: from, mask, ...rest } = then.pictures;
    state.others = rest;
    others();
    if (from) await paint.take(from, { mask, strength: then.strength, name: "the picture of the record" });
    else paint.away();
    say("said", "Restored: spec, prompts and seed are those of the picture.");
  } catch (error) {
    say("said", error.message, true);
    throw error;
  }
}

export function view(name) {
  document.getElementById(`tab-${name}`).click();
}
