// The form: made of what the registry knows of kinds, parts and parameters. No part has a line here.

import { $, el, yaml } from "./tools.js";
import { at, change, onSpec, reasons, replacedSlots, spec } from "./spec.js";

const open = new Set(["sampler", "guidance[0]"]);

export function start() {
  const select = $("preset");
  select.append(el("option", { value: "", textContent: "nothing" }));
  for (const [label, bases] of [["Specs of this server", spec.known.files], ["Presets", spec.known.presets]]) {
    if (!bases.length) continue;
    select.append(el("optgroup", { label }, bases.map((base) => el("option", { value: base.name, textContent: base.name }))));
  }
  select.addEventListener("change", () => change("extends", select.value ? { value: select.value } : { remove: true }));
  onSpec(draw);
  draw();
}

function kinds(sampling) {
  return spec.known.kinds.filter((kind) => kind.slot && kind.sampling === sampling);
}

// Draws the form anew, and keeps the field that has the focus.
function draw() {
  const focused = document.activeElement?.id ?? "";
  const base = spec.check.tree.extends ?? extendsOf(spec.text);
  const select = $("preset");
  select.value = [...select.options].some((option) => option.value === base) ? base : "";
  const about = [...spec.known.files, ...spec.known.presets].find((known) => known.name === base);
  $("preset-summary").textContent = about?.summary ?? "";
  const stages = spec.check.tree.stages;
  const drawn = stages && typeof stages === "object"
    ? Object.entries(stages).map(([name, stage]) =>
      el("fieldset", { class: "slot" }, el("legend", {}, `Stage ${name}`), slots(stage ?? {}, `stages.${name}.`)))
    : slots(spec.check.tree, "");
  const rest = el("details", { id: "rest", open: open.has("rest") }, el("summary", {}, "What takes no part in an image"),
    slots(spec.check.tree, "", false));
  rest.addEventListener("toggle", () => (rest.open ? open.add("rest") : open.delete("rest")));
  $("form").replaceChildren(...drawn, section("runtime", "Where and how it runs", spec.known.runtime), rest);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

function extendsOf(text) {
  return /^extends:\s*([\w./-]+)/m.exec(text)?.[1] ?? "";
}

function slots(tree, prefix, sampling = true) {
  const replaced = replacedSlots(tree);
  return kinds(sampling)
    .filter((kind) => tree[kind.slot] || (!replaced.has(kind.slot) && (kind.required || kind.parts.length)))
    .map((kind) => (kind.many ? list : single)(kind, `${prefix}${kind.slot}`, tree[kind.slot], kind.summary));
}

// Fields have ids of their paths, so that a label finds its field.
const ident = (path) => `at-${path.replace(/[^\w]/g, "-")}`;

function single(kind, path, value, summary, required = kind.required) {
  return el(
    "fieldset",
    { class: "slot" },
    el("legend", { title: summary }, kind.name.replaceAll("_", " "), el("small", { class: "quiet", textContent: from(path) })),
    position(kind, path, value, required),
    wrong(path),
  );
}

function list(kind, path, value, summary) {
  const items = Array.isArray(value) ? value : value ? [value] : [];
  return el(
    "fieldset",
    { class: "slot" },
    el("legend", { title: summary }, kind.name.replaceAll("_", " "), el("small", { class: "quiet", textContent: from(path) })),
    items.map((item, index) => position(kind, `${path}[${index}]`, item, false)),
    position(kind, `${path}[${items.length}]`, undefined, false, "Add one…"),
    wrong(path),
  );
}

// A select of the parts of a kind, and the parameters of the one that is chosen.
function position(kind, path, value, required, empty = "none") {
  const use = typeof value === "string" ? value : value?.use ?? "";
  const part = kind.parts.find((it) => it.use === use || it.full === use) ?? kind.parts.find((it) => it.name === use);
  const shown = part?.use ?? use;
  const choice = el("select", { id: ident(path), "aria-label": `${kind.name} at ${path}` });
  if (!required || !use) choice.append(el("option", { value: "", textContent: required ? "choose…" : empty }));
  if (use && !part) choice.append(el("option", { value: shown, textContent: shown }));
  for (const it of kind.parts) {
    choice.append(el("option", { value: it.use, textContent: it.use, title: it.summary, disabled: Boolean(it.unusable) && it !== part }));
    if (it.unusable && it !== part) choice.lastChild.textContent = `${it.use}: ${it.unusable}`;
  }
  choice.value = shown;
  choice.addEventListener("change", () => {
    open.add(path);
    change(path, choice.value ? { value: choice.value } : { remove: true });
  });
  const grey = () => greyed(choice, path, kind, part);
  choice.addEventListener("focus", grey);
  choice.addEventListener("pointerenter", grey);
  const parameters = part?.parameters ?? [];
  return el(
    "div",
    {},
    el("div", { class: "pick" }, choice),
    part ? el("p", { class: "quiet small", textContent: part.summary }) : null,
    parameters.length ? details(path, part, value) : null,
  );
}

async function greyed(choice, path, kind, chosen) {
  const why = await reasons(path, kind.name);
  for (const option of choice.options) {
    const part = kind.parts.find((it) => it.use === option.value);
    const reason = part?.unusable || why[option.value];
    if (!part || part === chosen) continue;
    option.disabled = Boolean(reason);
    option.textContent = reason ? `${part.use}: ${reason}` : part.use;
    option.title = reason || part.summary;
  }
}

function details(path, part, value) {
  const given = value && typeof value === "object" ? value : {};
  const node = el(
    "details",
    { open: open.has(path) },
    el("summary", {}, `${part.parameters.length} ${part.parameters.length === 1 ? "parameter" : "parameters"}`),
    part.parameters.map((it) => parameter(`${path}.${it.name}`, it, given[it.name])),
    part.references.length ? el("p", { class: "quiet small", textContent: part.references.join("; ") }) : null,
  );
  node.addEventListener("toggle", () => (node.open ? open.add(path) : open.delete(path)));
  return node;
}

function parameter(path, it, value) {
  if (it.part) {
    const kind = spec.known.kinds.find((known) => known.name === it.part);
    if (kind) return (it.many ? list : single)({ ...kind, name: it.name }, path, value, it.doc, it.required);
  }
  const problem = problems(path);
  const own = isOwn(path);
  const field = entry(path, it, value);
  field.id = ident(path);
  const back = own
    ? el("button", { type: "button", class: "bare", title: `back to ${it.default === null ? "what was there" : yaml(it.default)}`,
      "aria-label": `Take ${path} out`, textContent: "×", onclick: () => change(path, { remove: true }) })
    : null;
  return el(
    "div",
    { class: `parameter${own ? " own" : ""}${problem.length ? " bad" : ""}` },
    el("label", { htmlFor: field.id, title: [it.type, it.limits].filter(Boolean).join(" ") }, it.name),
    el("span", { class: "entry" }, field, back),
    it.doc ? el("p", { class: "doc", textContent: it.limits ? `${it.doc} (${it.limits})` : it.doc }) : null,
    wrong(path),
  );
}

function entry(path, it, value) {
  const resolved = spec.check.resolved ? at(spec.check.resolved, path) : undefined;
  const standing = value ?? resolved ?? it.default;
  const interpolated = typeof value === "string" && value.includes("${");
  if (it.widget === "box" && !interpolated && !it.optional) {
    const box = el("input", { type: "checkbox", checked: Boolean(standing) });
    box.addEventListener("change", () => change(path, { value: box.checked }));
    return box;
  }
  if ((it.widget === "choice" || it.widget === "box") && !interpolated) {
    const choices = it.widget === "box" ? [true, false] : it.choices;
    const select = el("select", {});
    if (it.optional || it.required) select.append(el("option", { value: "", textContent: it.required ? "choose…" : "none" }));
    choices.forEach((choice, index) => select.append(el("option", { value: String(index), textContent: String(choice) })));
    const index = choices.indexOf(standing);
    select.value = index < 0 ? "" : String(index);
    select.addEventListener("change", () =>
      change(path, select.value === "" ? { value: null } : { value: choices[Number(select.value)] }));
    return select;
  }
  const isNumber = it.widget === "number" && !interpolated && (standing === null || typeof standing === "number");
  const input = isNumber
    ? el("input", { type: "number", step: it.whole ? 1 : "any", min: it.least ?? it.above ?? "", max: it.most ?? it.below ?? "" })
    : el("input", { type: "text", spellcheck: false, autocomplete: "off" });
  input.value = value === undefined ? "" : yaml(value);
  input.placeholder = it.required && standing === undefined ? "required" : yaml(standing) || "none";
  input.addEventListener("change", () =>
    change(path, input.value.trim() === "" ? { remove: true } : { yaml: input.value }));
  return input;
}

function section(key, title, parameters) {
  const given = spec.check.tree[key] ?? {};
  return el(
    "fieldset",
    { class: "slot" },
    el("legend", {}, title),
    details(key, { parameters, references: [] }, given),
    wrong(key),
  );
}

function isOwn(path) {
  return (spec.check.sources[path] ?? "").startsWith("line ");
}

function from(path) {
  const source = spec.check.sources[path] ?? "";
  return source.startsWith("line ") ? "" : source;
}

function problems(path) {
  return spec.check.problems.filter((problem) => problem.path === path || problem.path === `${path}.use`);
}

function wrong(path) {
  const found = problems(path);
  return found.length
    ? el("p", { class: "wrong", textContent: found.map((it) => [it.what, it.hint].filter(Boolean).join(": ")).join("; ") })
    : null;
}
