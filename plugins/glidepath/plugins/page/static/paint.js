// The picture that images start from, and the mask that is painted over it.

import { $, loaded, readFile, say, used } from "./tools.js";

const state = { picture: null, mask: null, painted: false, name: "" };

export function start() {
  $("picture").addEventListener("change", async () => {
    const file = $("picture").files[0];
    if (file) await take(await readFile(file), { name: file.name }).catch((error) => say("said", error.message, true));
  });
  $("picture-away").addEventListener("click", away);
  $("mask-clear").addEventListener("click", clear);
  $("mask-all").addEventListener("click", () => {
    const { width, height } = state.mask;
    dab(width / 4, height / 4, width / 2, height / 2);
  });
  for (const name of ["strength", "brush"]) {
    $(name).addEventListener("input", () => shown(name));
  }
  $("use-strength").addEventListener("change", inUse);
  const canvas = $("canvas");
  let drawing = false;
  const paint = (event) => {
    if (!drawing) return;
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    stroke((event.clientX - box.left) * scale, (event.clientY - box.top) * scale, (Number($("brush").value) / 2) * scale);
  };
  canvas.addEventListener("pointerdown", (event) => {
    drawing = true;
    canvas.setPointerCapture(event.pointerId);
    paint(event);
  });
  canvas.addEventListener("pointermove", paint);
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (drawing = false));
}

function shown(name) {
  $(`${name}-shown`).textContent = name === "strength" ? Number($(name).value).toFixed(2) : $(name).value;
  inUse();
}

function inUse() {
  used("start-used", state.picture && state.name, strength() && `strength ${strength()}`, state.painted && "where it is painted");
}

// Takes a picture to start from: a data URL, or an address of this server.
export async function take(address, { mask = null, strength: given, name = "a picture" } = {}) {
  const image = await loaded(address);
  const limit = 2048;
  const scale = Math.min(1, limit / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = $("canvas");
  canvas.width = Math.max(1, Math.round(image.naturalWidth * scale));
  canvas.height = Math.max(1, Math.round(image.naturalHeight * scale));
  state.picture = document.createElement("canvas");
  state.mask = document.createElement("canvas");
  state.name = name;
  for (const layer of [state.picture, state.mask]) Object.assign(layer, { width: canvas.width, height: canvas.height });
  state.picture.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  $("painting").hidden = false;
  $("start").open = true;
  clear();
  if (mask) await takeMask(mask);
  $("use-strength").checked = given !== null;
  if (given) {
    $("strength").value = given;
    shown("strength");
  }
  inUse();
}

async function takeMask(address) {
  const image = await loaded(address);
  const context = state.mask.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(image, 0, 0, state.mask.width, state.mask.height);
  const pixels = context.getImageData(0, 0, state.mask.width, state.mask.height);
  for (let index = 0; index < pixels.data.length; index += 4) {
    const white = pixels.data[index] >= 128;
    pixels.data.set(white ? [255, 255, 255, 255] : [0, 0, 0, 0], index);
    state.painted ||= white;
  }
  context.putImageData(pixels, 0, 0);
  draw();
}

export function away() {
  Object.assign(state, { picture: null, mask: null, painted: false });
  $("picture").value = "";
  $("painting").hidden = true;
  inUse();
}

function clear() {
  state.mask.getContext("2d").clearRect(0, 0, state.mask.width, state.mask.height);
  state.painted = false;
  draw();
}

function stroke(x, y, radius) {
  const context = state.mask.getContext("2d");
  context.fillStyle = "#fff";
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
  state.painted = true;
  draw();
}

function dab(x, y, width, height) {
  const context = state.mask.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(x, y, width, height);
  state.painted = true;
  draw();
}

function draw() {
  inUse();
  const canvas = $("canvas");
  const context = canvas.getContext("2d");
  context.globalAlpha = 1;
  context.drawImage(state.picture, 0, 0);
  const tint = document.createElement("canvas");
  Object.assign(tint, { width: canvas.width, height: canvas.height });
  const over = tint.getContext("2d");
  over.drawImage(state.mask, 0, 0);
  over.globalCompositeOperation = "source-in";
  over.fillStyle = `rgb(${getComputedStyle(document.documentElement).getPropertyValue("--mask")})`;
  over.fillRect(0, 0, tint.width, tint.height);
  context.globalAlpha = 0.55;
  context.drawImage(tint, 0, 0);
}

// What a request has of it: pictures by name, and the strength.
export function asked() {
  if (!state.picture) return { pictures: {}, strength: null };
  const pictures = { image: state.picture.toDataURL("image/png") };
  if (state.painted) pictures.mask = onBlack(state.mask).toDataURL("image/png");
  return { pictures, strength: strength() };
}

function strength() {
  return state.picture && ($("use-strength").checked || !state.painted) ? Number($("strength").value) : null;
}

export function picture() {
  return state.picture?.toDataURL("image/png") ?? null;
}

function onBlack(mask) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: mask.width, height: mask.height });
  const context = canvas.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(mask, 0, 0);
  return canvas;
}
