// Elements, and what is asked of the server. Text is set as text, never as markup.

export const $ = (id) => document.getElementById(id);

export function el(tag, given = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export async function ask(path, data, { method, signal } = {}) {
  const sent = data === undefined
    ? { method: method ?? "GET" }
    : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(data) };
  let answer;
  try {
    answer = await fetch(path, { ...sent, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is `glidepath page` still running?");
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.problem ?? `The server answers with status ${answer.status}.`);
  return told;
}

export function say(id, text, bad = false) {
  const node = $(id);
  node.textContent = text;
  node.classList.toggle("bad", bad);
}

// Says beside the name of a section that is folded what of it is in use.
export function used(id, ...what) {
  const told = what.filter(Boolean).join(", ");
  $(id).textContent = `in use: ${told}`;
  $(id).hidden = !told;
}

export function later(delay, run) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...given), delay);
  };
}

export function save(name, text, kind = "text/yaml") {
  const address = URL.createObjectURL(new Blob([text], { type: kind }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

export function readFile(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });
}

export function loaded(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("The browser does not show this picture."));
    image.src = address;
  });
}

// A value as YAML on one line, as the form shows and takes it.
export function yaml(value) {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return `[${value.map((item) => yaml(item) || "null").join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([key, item]) => `${key}: ${yaml(item) || "null"}`).join(", ")}}`;
  }
  if (typeof value !== "string") return String(value);
  const plain = /^[A-Za-z_][\w ./-]*$/.test(value) && !/^(null|true|false|yes|no|on|off|y|n)$/i.test(value);
  return plain ? value : JSON.stringify(value);
}

export function size(bytes) {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(2)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

export function count(number) {
  for (const [unit, of] of [["P", 1e15], ["T", 1e12], ["G", 1e9], ["M", 1e6]]) {
    if (number >= of) return `${(number / of).toFixed(2)} ${unit}`;
  }
  return String(number);
}

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  return `${Math.round(seconds / 60)} min`;
}
