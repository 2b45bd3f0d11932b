// Variants side by side, and how they differ.

import { $, ask, duration, el, loaded, save, say } from "./tools.js";
import { ended, jobs, keep, onJob } from "./jobs.js";
import { drawSeed, request } from "./make.js";
import { spec } from "./spec.js";

const READ = { willReadFrequently: true };
const state = { group: "", order: [], pictures: new Map(), asked: new Map() };

export function start() {
  $("compare").addEventListener("submit", (event) => {
    event.preventDefault();
    compare();
  });
  $("as-study").addEventListener("click", study);
  $("compare-stop").addEventListener("click", () => {
    for (const id of state.order) if (!ended(jobs.get(id))) ask(`/api/jobs/${id}`, undefined, { method: "DELETE" });
  });
  const { metrics } = spec.known;
  $("metrics-tool").hidden = !metrics.length;
  $("metric").replaceChildren(...metrics.map((it) => el("option", { value: it.name, textContent: it.name, title: it.summary })));
  $("metric").addEventListener("change", about);
  about();
  $("measure").addEventListener("click", measure);
  for (const id of ["difference", "against", "gain"]) $(id).addEventListener("input", draw);
  onJob(news);
}

async function compare() {
  say("compare-said", "");
  drawSeed();
  try {
    const answer = await ask("/api/compare", { ...request(), axes: $("axes").value });
    state.group = answer.group;
    state.order = answer.jobs.map((job) => job.id);
    state.pictures.clear();
    greyed(answer.unsuited);
    $("against").replaceChildren(...answer.jobs.map((job, index) => el("option", { value: index, textContent: job.label })));
    $("variants").replaceChildren(...answer.jobs.map((job) => el("figure", { id: `variant-${job.id}` },
      el("canvas", { width: 32, height: 32, role: "img", "aria-label": job.label }),
      el("figcaption", {}, el("b", { textContent: job.label }),
        el("div", { class: "about small", textContent: job.about }), el("div", { class: "quiet small" }), el("ul", { class: "scores small" })))));
    for (const job of answer.jobs) keep(job);
  } catch (error) {
    say("compare-said", error.message, true);
  }
}

// A metric that cannot judge these images is grey, with the reason.
function greyed(unsuited) {
  for (const option of $("metric").options) {
    const reason = unsuited[option.value];
    option.disabled = Boolean(reason);
    option.textContent = reason ? `${option.value}: ${reason}` : option.value;
  }
  if ($("metric").selectedOptions[0]?.disabled) $("metric").value = $("metric").querySelector("option:enabled")?.value ?? "";
  about();
}

function about() {
  const summary = spec.known.metrics.find((it) => it.name === $("metric").value)?.summary ?? "";
  $("metric-told").textContent = summary && `${$("metric").value}: ${summary}`;
}

async function measure() {
  say("compare-said", "");
  const name = $("metric").value;
  try {
    const job = await ask("/api/measure", { metric: name, jobs: state.order });
    state.asked.set(job.id, state.group);
    keep(job);
  } catch (error) {
    say("compare-said", error.message, true);
  }
}

// What a metric says stands below each variant: the mean, and of several images each.
function scores(job) {
  if (state.asked.get(job.id) !== state.group || !ended(job)) return;
  if (job.state === "failed") return say("compare-said", job.message, true);
  if (job.state !== "done") return;
  const { name, unit, direction, variants } = job.result;
  const short = (value) => (value === null ? "–" : String(Number(value.toPrecision(3))));
  const means = variants.map((it) => it.mean).filter((mean) => mean !== null);
  const best = direction === "higher" ? Math.max(...means) : Math.min(...means);
  for (const it of variants) {
    const list = document.querySelector(`#variant-${CSS.escape(it.job)} .scores`);
    if (!list) continue;
    const each = it.scores.length > 1 ? ` (${it.scores.slice(0, 16).map(short).join(", ")}${it.scores.length > 16 ? ", …" : ""})` : "";
    const told = it.mean === null ? "no answer for this prompt" : `${short(it.mean)}${unit && unit !== "share" ? ` ${unit}` : ""}${each}`;
    const row = el("li", { "data-metric": job.title, class: it.mean === best && means.some((mean) => mean !== best) ? "best" : "" },
      el("span", { title: name, textContent: job.title }), `: ${told}`, it.mean === null ? "" : el("span", { class: "quiet" }, `, ${direction} is better`));
    list.querySelector(`[data-metric="${CSS.escape(job.title)}"]`)?.remove();
    list.append(row);
  }
}

async function study() {
  say("compare-said", "");
  try {
    const answer = await ask("/api/study", { ...request(), axes: $("axes").value });
    save(answer.name, answer.text);
    say("compare-said", `Saved as ${answer.name}: \`glidepath study plan ${answer.name}\` shows what it stands for.`);
  } catch (error) {
    say("compare-said", error.message, true);
  }
}

async function news(job, step) {
  if (job.kind === "measure") scores(job);
  if (!state.order.includes(job.id)) return;
  const told = document.querySelector(`#variant-${CSS.escape(job.id)} .quiet`);
  if (!told) return;
  $("compare-stop").hidden = state.order.every((id) => ended(jobs.get(id)));
  if (step?.preview) await put(job, [step.preview]);
  if (job.state === "running") told.textContent = `step ${job.index} of ${job.total}`;
  else if (job.state === "done") {
    told.textContent = duration(job.result.seconds);
    const remarked = el("div", { class: "remarks small", textContent: job.result.remarks.join("\n") });
    told.parentElement.querySelector(".remarks")?.remove();
    told.after(remarked);
    await put(job, job.result.files.map((file) => `/images/${encodeURIComponent(file)}`));
  } else told.textContent = job.state === "failed" ? job.message : job.state;
}

// Pictures of a variant, several under one another.
async function put(job, addresses) {
  const images = await Promise.all(addresses.map(loaded)).catch(() => []);
  if (!images.length || (jobs.get(job.id).state === "done" && addresses[0].startsWith("data:"))) return;
  const canvas = document.createElement("canvas");
  const columns = Math.ceil(Math.sqrt(images.length));
  const [width, height] = [images[0].naturalWidth, images[0].naturalHeight];
  Object.assign(canvas, { width: columns * width, height: Math.ceil(images.length / columns) * height });
  images.forEach((image, index) =>
    canvas.getContext("2d", READ).drawImage(image, (index % columns) * width, Math.floor(index / columns) * height));
  state.pictures.set(job.id, canvas);
  draw();
}

function draw() {
  const whole = state.order.filter((id) => jobs.get(id)?.state === "done");
  $("compare-tools").hidden = $("metric-told").hidden = whole.length < 2;
  $("measure").disabled = whole.length < state.order.length || !$("metric").value;
  const against = state.pictures.get(state.order[Number($("against").value || 0)]);
  for (const id of state.order) {
    const own = state.pictures.get(id);
    const canvas = document.querySelector(`#variant-${CSS.escape(id)} canvas`);
    if (!own || !canvas) continue;
    Object.assign(canvas, { width: own.width, height: own.height });
    const context = canvas.getContext("2d");
    context.drawImage(own, 0, 0);
    const told = document.querySelector(`#variant-${CSS.escape(id)} .quiet`);
    if (!against || own.width !== against.width || own.height !== against.height || jobs.get(id).state !== "done") continue;
    const { mean, pixels } = difference(own, against, Number($("gain").value || 1));
    if ($("difference").checked && own !== against) context.putImageData(pixels, 0, 0);
    told.textContent = `${duration(jobs.get(id).result.seconds)}; `
      + (own === against ? "the others are held against it" : `differs by ${mean.toFixed(1)} of 255 on average`);
  }
}

function difference(one, other, gain) {
  const a = one.getContext("2d", READ).getImageData(0, 0, one.width, one.height);
  const b = other.getContext("2d", READ).getImageData(0, 0, one.width, one.height);
  let sum = 0;
  for (let index = 0; index < a.data.length; index += 1) {
    if (index % 4 === 3) continue;
    const by = Math.abs(a.data[index] - b.data[index]);
    sum += by;
    a.data[index] = Math.min(255, by * gain);
  }
  return { mean: sum / (a.data.length * 0.75), pixels: a };
}
