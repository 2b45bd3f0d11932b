// The text of the spec, its line marks, the list of problems, and what the plan says.

import { $, ask, count, duration, el, later, save, size } from "./tools.js";
import { onSpec, spec, typed } from "./spec.js";

export function start() {
  const area = $("yaml");
  area.value = spec.text;
  area.addEventListener("input", () => {
    typed(area.value);
    stale();
    gutter();
  });
  area.addEventListener("scroll", () => ($("gutter").scrollTop = area.scrollTop));
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Tab" || event.shiftKey || event.ctrlKey || event.altKey || !tabs) return;
    event.preventDefault();
    area.setRangeText("  ", area.selectionStart, area.selectionEnd, "end");
    area.dispatchEvent(new Event("input"));
  });
  // Escape gives the Tab key back to those who walk the page with it.
  let tabs = true;
  area.addEventListener("keydown", (event) => (tabs = event.key === "Escape" ? false : tabs));
  area.addEventListener("blur", () => (tabs = true));
  $("yaml-save").addEventListener("click", () => save("spec.yaml", spec.text));
  onSpec(draw);
  draw("server");
}

function draw(origin) {
  const area = $("yaml");
  if (origin !== "check" && area.value !== spec.text) {
    const { selectionStart, scrollTop } = area;
    area.value = spec.text;
    area.setSelectionRange(selectionStart, selectionStart);
    area.scrollTop = scrollTop;
  }
  gutter();
  const { problems, warnings } = spec.check;
  const told = [...problems.map((it) => ["bad", it]), ...warnings.map((it) => ["warn", it])];
  $("problems").replaceChildren(...told.map(([kind, it]) => item(kind, it)));
  const verdict = $("verdict");
  verdict.className = `chip ${problems.length ? "bad" : warnings.length ? "warn" : "good"}`;
  verdict.textContent = problems.length
    ? `${problems.length} ${problems.length === 1 ? "problem" : "problems"}`
    : warnings.length ? `fits; ${warnings.length} ${warnings.length === 1 ? "warning" : "warnings"}` : "fits";
  if (!problems.length) planAgain();
  else facts([]);
}

function item(kind, it) {
  const where = it.line ? `line ${it.line}` : it.file || it.path;
  const mark = where
    ? el("button", { type: "button", textContent: where, onclick: () => go(it.line), disabled: !it.line }) : null;
  const allowed = it.allowed?.length ? `allowed: ${some(it.allowed)}` : "";
  return el("li", { class: kind }, mark, mark ? ": " : "", it.what,
    [it.hint, allowed].filter(Boolean).map((text) => el("span", { class: "hint", textContent: text })));
}

// The first names of a list, those of the server's own specs before others, and how many more there are.
function some(names, most = 20) {
  const own = new Set(spec.known.files.map((file) => file.name));
  const sorted = [...names.filter((name) => own.has(name)), ...names.filter((name) => !own.has(name))];
  const more = sorted.length - most;
  return sorted.slice(0, most).join(", ") + (more > 0 ? `, and ${more} more` : "");
}

function go(line) {
  const area = $("yaml");
  const lines = area.value.split("\n");
  const begin = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
  area.focus();
  area.setSelectionRange(begin, begin + (lines[line - 1]?.length ?? 0));
}

function gutter() {
  const lines = $("yaml").value.split("\n").length;
  const marks = new Map();
  for (const it of spec.check.warnings) if (it.line) marks.set(it.line, ["warn", it.what]);
  for (const it of spec.check.problems) if (it.line) marks.set(it.line, ["bad", it.what]);
  const rows = Array.from({ length: lines }, (_, index) => {
    const [kind, title] = marks.get(index + 1) ?? ["", ""];
    return el("div", { class: kind, title, textContent: index + 1 });
  });
  $("gutter").replaceChildren(...rows);
  $("gutter").scrollTop = $("yaml").scrollTop;
}

let asking = null;
const plan = later(350, async () => {
  asking?.abort();
  asking = new AbortController();
  const text = spec.text;
  try {
    const cost = await ask("/api/plan", { text, size: chosenSize() }, { signal: asking.signal });
    if (text === spec.text) show(cost);
  } catch (error) {
    if (error.name !== "AbortError") facts([["Cost", error.message]]);
  }
});

export function planAgain() {
  stale();
  plan();
}

// What stands there is of what was before, until the next plan comes.
function stale() {
  $("plan").setAttribute("aria-busy", "true");
}

export function chosenSize() {
  const sides = $("size").value.match(/\d+/g);
  return sides?.length === 2 ? [Number(sides[1]), Number(sides[0])] : null;
}

function show(cost) {
  taken(cost);
  if (cost.unknown) return facts([["Cost", cost.unknown]]);
  const rows = [
    ["Parameters", cost.parameters.toLocaleString("en")],
    ["Memory", size(cost.memory)],
    ["Steps", cost.evaluations === cost.steps ? cost.steps : `${cost.steps}, ${cost.evaluations} evaluations`],
    ["Work", `${count(cost.flops)}FLOP an image, on ${cost.device}`],
  ];
  if (cost.seconds) rows.push(["Time", `about ${duration(cost.seconds)} an image, as fast as the last`]);
  return facts(rows);
}

// What the model takes beside prompts, as the plan says it.
function taken({ takes = {}, texts = [], classes, unknown }) {
  $("takes").replaceChildren(...Object.entries(takes).map(([name, about]) => el("option", { value: name, textContent: about })));
  const told = [...Object.entries(takes).map(([name, about]) => `the picture ${name}, ${about}`), ...texts.map((name) => `the text ${name}`)];
  if (classes) told.push(`classes from 0 to ${classes - 1}`);
  $("takes-told").textContent = told.length ? `This model takes ${told.join("; ")}.` : unknown ? "" : "This model takes none of these.";
}

function facts(rows) {
  $("plan").removeAttribute("aria-busy");
  $("plan").replaceChildren(...rows.flatMap(([name, value]) => [el("dt", { textContent: name }), el("dd", { textContent: value })]));
}
