// Studies and runs: how far they are, as the server reads their folders.

import { $, ask, el, say } from "./tools.js";

let timer = 0;
const shown = {};

export function start() {
  $("tab-work").addEventListener("click", look);
  for (const tab of document.querySelectorAll("[role=tab]")) {
    if (tab.id !== "tab-work") tab.addEventListener("click", () => clearTimeout(timer));
  }
}

async function look() {
  clearTimeout(timer);
  const again = await Promise.all([
    read("studies", study, "No study has run yet: `glidepath study run FILE` begins one."),
    read("runs", run, "Nothing has been trained yet: `glidepath train SPEC` begins a run."),
  ]);
  if (!$("view-work").hidden) timer = setTimeout(look, 1000 * Math.max(...again));
}

async function read(what, card, empty) {
  if (!shown[what]) say(`${what}-said`, "Looking…");
  try {
    const answer = await ask(`/api/${what}`);
    const text = JSON.stringify(answer);
    if (text === shown[what]) return answer.again; // what is open, and where one is, stays
    shown[what] = text;
    const open = new Set([...$(what).querySelectorAll("details[open]")].map((node) => node.id));
    $(what).replaceChildren(...answer[what].map(card));
    for (const node of $(what).querySelectorAll("details")) node.open = open.has(node.id);
    say(`${what}-said`, answer[what].length ? "" : empty);
    return answer.again;
  } catch (error) {
    shown[what] = "";
    say(`${what}-said`, error.message, true);
    return 10;
  }
}

function table(head, rows) {
  return el("table", {},
    el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col", textContent: text })))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((text) => el("td", { textContent: text }))))));
}

// A button that asks for something, and says what is answered.
function press(what, text, path, data) {
  return el("button", { type: "button", class: "plain", textContent: text,
    onclick: async () => {
      try {
        say(`${what}-said`, (await ask(path, data)).said);
      } catch (error) {
        say(`${what}-said`, error.message, true);
      }
    } });
}

// What is concluded so far; a summary that is one of the sentences stands once.
function verdicts(found) {
  const more = found.verdicts.filter((one) => !found.summary.includes(one.told));
  return el("div", { class: "verdicts" },
    el("p", { class: found.verdicts.length === 1 ? found.verdicts[0].verdict : "", textContent: found.summary }),
    more.length ? el("ul", {}, more.slice(0, 12).map((one) => el("li", { class: one.verdict, textContent: one.told }))) : null,
    more.length > 12 ? el("p", { class: "quiet small", textContent: `${more.length - 12} more stand in the report.` }) : null);
}

function study(it) {
  if (it.problem) return el("article", { class: "work" }, el("h3", {}, it.name), el("p", { class: "said bad", textContent: it.problem }));
  const counts = Object.values(it.stages);
  const sum = (state) => counts.reduce((all, stage) => all + (stage[state] ?? 0), 0);
  const all = ["done", "running", "failed", "waiting"].reduce((total, state) => total + sum(state), 0);
  const act = (text, path, data) => press("studies", text, path, { name: it.name, ...data });
  return el("article", { class: "work" },
    el("div", { class: "row" }, el("h3", {}, it.study ?? it.name),
      el("span", { class: `chip ${it.running ? "" : sum("failed") ? "bad" : sum("done") === all ? "good" : "warn"}`,
        textContent: it.running ? "running" : sum("failed") ? `${sum("failed")} failed` : sum("done") === all ? "done" : "stopped" })),
    el("progress", { max: all || 1, value: sum("done"), "aria-label": `${sum("done")} of ${all} done` }),
    el("p", { class: "quiet small", textContent: `${sum("done")} of ${all} nodes, ${it.trials} trials` }),
    it.verdicts ? verdicts(it.verdicts) : null,
    el("details", { id: `stages-${it.name}` }, el("summary", {}, "Stages and arms"),
      table(["stage", "done", "running", "failed", "waiting"], Object.entries(it.stages).map(([stage, found]) =>
        [stage, ...["done", "running", "failed", "waiting"].map((state) => found[state] ?? 0)])),
      table(["arm", "done", "failed", "all"], Object.entries(it.arms).map(([arm, found]) => [arm, found.done, found.failed, found.all]))),
    sheets(`grids-${it.name}`, "Grids of images", it.grids ?? [], `/studies/${path(it.name)}/grids`),
    it.told ? el("p", { class: `said${it.told.includes("ended with") ? " bad" : ""}`, textContent: it.told }) : null,
    it.failures.length ? el("details", { id: `failures-${it.name}` }, el("summary", {}, "What failed"),
      it.failures.flatMap((one) => [
        el("p", { class: "small", textContent: `${one.stage} ${one.key.slice(0, 12)}: ${one.class} after ${one.attempts}: ${one.message}` }),
        one.log ? el("pre", { "aria-label": "the end of its log", textContent: one.log }) : null])) : null,
    el("p", { class: "buttons" },
      it.running ? act("Stop", "/api/studies/stop", {}) : null,
      !it.running && sum("failed") ? act("Try again what failed", "/api/studies/begin", { what: "retry" }) : null,
      it.stages.measure?.done ? act(it.running ? "Write a report so far" : "Write the report", "/api/studies/begin", { what: "report" }) : null,
      it.report ? el("a", { href: `/studies/${path(it.name)}/report`, target: "_blank", rel: "noopener", textContent: "Open the report" }) : null));
}

function sheets(id, title, files, folder) {
  if (!files.length) return null;
  return el("details", { id }, el("summary", {}, `${title} (${files.length})`), files.map((file) =>
    el("div", { class: "stage" }, el("img", { src: `${folder}/${encodeURIComponent(file)}`, alt: `${title}, ${file}`, loading: "lazy" }))));
}

const path = (name) => name.split("/").map(encodeURIComponent).join("/");

function run(it) {
  const figures = Object.entries(it.figures).filter(([, value]) => typeof value === "number");
  return el("article", { class: "work" },
    el("div", { class: "row" }, el("h3", {}, it.name),
      el("span", { class: `chip ${{ done: "good", running: "", stopped: "warn" }[it.state] ?? "bad"}`, textContent: it.state })),
    el("progress", { max: it.total || 1, value: it.step, "aria-label": `step ${it.step} of ${it.total}` }),
    el("p", { class: "quiet small", textContent: [`step ${it.step} of ${it.total}`, it.stage,
      ...figures.filter(([name]) => name !== "step").slice(0, 4).map(([name, value]) => `${name.replaceAll("_", " ")} ${Number(value.toPrecision(4))}`)].filter(Boolean).join(" · ") }),
    it.curves.loss ? curve("loss", it.curves.loss) : null,
    el("details", { id: `curves-${it.name}` }, el("summary", {}, "All curves"),
      el("div", { class: "curves" }, Object.entries(it.curves).filter(([name]) => name !== "loss").map(([name, points]) => curve(name, points)))),
    sheets(`sheets-${it.name}`, "Sheets of samples", it.sheets.toReversed(), `/runs/${path(it.name)}/sheets`),
    el("details", { id: `events-${it.name}` }, el("summary", {}, "What happened"), el("pre", { textContent: it.events.join("\n") })),
    it.state === "running" ? el("p", { class: "buttons" }, press("runs", "Stop", "/api/runs/stop", { name: it.name })) : null);
}

function curve(name, points) {
  const made = (tag, given) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(given)) node.setAttribute(key, value);
    return node;
  };
  const [xs, ys] = [points.map((it) => it[0]), points.map((it) => it[1])];
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const place = ([x, y]) => `${(((x - left) / (right - left || 1)) * 300).toFixed(1)} ${(97 - ((y - low) / (high - low || 1)) * 94).toFixed(1)}`;
  const told = `${name.replaceAll("_", " ")}: ${Number(low.toPrecision(4))} to ${Number(high.toPrecision(4))}, last ${Number(ys.at(-1).toPrecision(4))}`;
  const picture = made("svg", { viewBox: "0 0 300 100", preserveAspectRatio: "none", role: "img", "aria-label": told });
  picture.append(made("path", { d: `M${points.map(place).join("L")}` }));
  return el("figure", {}, picture, el("figcaption", { class: "quiet small", textContent: told }));
}
