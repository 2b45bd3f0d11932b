// The spec: its text, what the server says of it, and who is told when it changes.

import { ask, later } from "./tools.js";

export const spec = { text: "", check: { problems: [], warnings: [], tree: {}, resolved: null, sources: {} }, known: null };

const listeners = [];
let version = 0;

export function onSpec(run) {
  listeners.push(run);
}

function tell(from) {
  for (const run of listeners) run(from);
}

export function begin(answer) {
  spec.known = answer;
  spec.text = answer.text;
  spec.check = answer.check;
  tell("server");
}

const check = later(60, async (asked) => {
  try {
    const answer = await ask("/api/check", { text: spec.text });
    if (asked !== version) return;
    spec.check = answer;
    tell("check");
  } catch (error) {
    if (asked !== version) return;
    spec.check = { ...spec.check, problems: [{ what: error.message, path: "", line: 0, hint: "", allowed: [] }] };
    tell("check");
  }
});

// What is typed in the text.
export function typed(text) {
  spec.text = text;
  version += 1;
  check(version);
}

// Another text as a whole: restored, or of another base.
export function replaced(text) {
  typed(text);
  tell("text");
}

// A value that was changed in the form. Changes are made one after the other.
let last = Promise.resolve();
export function change(path, value) {
  version += 1;
  const asked = version;
  last = last.then(async () => {
    try {
      const answer = await ask("/api/edit", { text: spec.text, path, ...value });
      spec.text = answer.text;
      if (asked === version) spec.check = answer.check;
      tell("form");
    } catch (error) {
      spec.check = { ...spec.check, problems: [{ what: error.message, path, line: 0, hint: "", allowed: [] }] };
      tell("check");
    }
  });
  return last;
}

const fits = new Map();
export async function reasons(path, kind) {
  const key = `${path}\n${kind}\n${spec.text}`;
  if (!fits.has(key)) {
    if (fits.size > 50) fits.clear();
    fits.set(key, ask("/api/fits", { text: spec.text, path, kind }).catch(() => ({})));
  }
  return fits.get(key);
}

// The slots that stay empty, because a part of another kind stands in their place.
export function replacedSlots(tree) {
  return new Set(spec.known.kinds.filter((kind) => tree[kind.slot]).flatMap((kind) => kind.instead_of));
}

export function at(tree, path) {
  let here = tree;
  for (const step of path.replaceAll("[", ".[").split(".")) {
    if (here === null || here === undefined) return undefined;
    here = step.startsWith("[") ? here[Number(step.slice(1, -1))] : here[step];
  }
  return here;
}
