// The page of a rater. Every text is set as text; nothing is asked of another host.
"use strict";

const here = location.pathname.replace(/\/+$/, "");
const at = (id) => document.getElementById(id);
const zoom = at("zoom");
const touch = matchMedia("(hover: none)").matches; // such a device has no keys
const enlarges = touch ? "Tap a picture to enlarge it." : "Click a picture, or press z, to enlarge it.";

let state = null; // what the server last said
let ready = false; // whether all pictures can be seen
let begun = false;

async function asked(path, options) {
  const answer = await fetch(here + path, options);
  const said = await answer.json();
  if (answer.status === 409) return said.state; // it was answered before: go on from there
  if (!answer.ok) throw new Error(said.problem);
  return said;
}

function choices() {
  if (state.kind === "ratings") {
    return Array.from({ length: state.scale }, (_, index) => {
      const value = index + 1;
      const end = value === 1 ? " (worst)" : value === state.scale ? " (best)" : "";
      return { value, text: `${value}${end}`, keys: [String(value)], sign: String(value) };
    });
  }
  const sides = [{ value: "left", text: "The left one", keys: ["ArrowLeft", "1"], sign: "←" }];
  if (state.ties) sides.push({ value: "tie", text: "Both alike", keys: ["ArrowDown", "0", "t"], sign: "↓" });
  sides.push({ value: "right", text: "The right one", keys: ["ArrowRight", "2"], sign: "→" });
  return sides;
}

function shown(id) {
  for (const name of ["welcome", "work", "finished"]) at(name).hidden = name !== id;
}

function show(next) {
  state = next;
  ready = false;
  at("progress").max = state.of || 1;
  at("progress").value = state.done;
  at("count").textContent = `${state.done} of ${state.of}`;
  if (state.task === null) {
    shown("finished");
    return;
  }
  if (!begun && state.done === 0) {
    at("instructions").textContent = state.instructions || state.question;
    at("keys").textContent = `Your answers are kept one by one: you can stop at any time, and go on later with the same link. ${touch ? enlarges : `Keys: ${choices().map((it) => `${it.sign} ${it.text.toLowerCase()}`).join(", ")}; z enlarges.`}`;
    shown("welcome");
    at("begin").focus();
    return;
  }
  begun = true;
  work();
}

function work() {
  shown("work");
  document.title = state.question;
  at("question").textContent = state.question;
  at("prompt").textContent = state.prompt;
  at("prompt").hidden = state.prompt === "";
  at("hint").textContent = enlarges;
  const names = state.pictures.length > 1 ? ["Left picture", "Right picture"] : ["The picture"];
  let missing = state.pictures.length;
  const number = state.task;
  at("pictures").replaceChildren(
    ...state.pictures.map((name, index) => {
      const picture = document.createElement("img");
      picture.alt = names[index];
      picture.draggable = false;
      picture.addEventListener("load", () => {
        picture.classList.toggle("small", picture.naturalWidth <= 256);
        missing -= 1;
        if (missing === 0 && state.task === number) enable();
      });
      picture.addEventListener("error", () => failed("A picture did not arrive.", () => show(state)));
      picture.src = `${here}/p/${name}`;
      const frame = document.createElement("div");
      frame.className = "picture";
      frame.append(picture);
      frame.addEventListener("click", () => enlarge(picture));
      return frame;
    }),
  );
  at("choices").replaceChildren(
    ...choices().map((it) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = it.text;
      button.dataset.value = it.value;
      if (it.value === "tie") button.className = "tie";
      if (it.sign !== it.text.slice(0, 1)) {
        const key = document.createElement("kbd");
        key.textContent = it.sign;
        key.ariaHidden = "true";
        button.append(key);
      }
      button.disabled = true;
      button.addEventListener("click", () => choose(it.value));
      return button;
    }),
  );
  for (const name of state.next) new Image().src = `${here}/p/${name}`;
}

function enable() {
  ready = true;
  for (const button of at("choices").children) button.disabled = false;
}

async function choose(answer) {
  if (!ready || zoom.open) return;
  ready = false;
  for (const button of at("choices").children) button.disabled = true;
  const body = JSON.stringify({ task: state.task, answer });
  try {
    const headers = { "content-type": "application/json" };
    const next = await asked("/answer", { method: "POST", headers, body });
    at("said").replaceChildren();
    show(next);
  } catch (error) {
    failed(`Your answer was not kept. ${error.message}`, () => {
      enable();
      choose(answer);
    });
  }
}

function failed(text, again) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Try again";
  button.addEventListener("click", () => {
    at("said").replaceChildren();
    again();
  });
  at("said").replaceChildren(document.createTextNode(`${text} `), button);
}

function enlarge(picture) {
  const large = zoom.querySelector("img");
  large.src = picture.src;
  large.alt = picture.alt;
  large.className = picture.className;
  zoom.dataset.place = String([...at("pictures").children].indexOf(picture.parentElement));
  if (!zoom.open) zoom.showModal();
}

// z goes from the first picture to the next, and back to the page
function turn() {
  const pictures = [...at("pictures").querySelectorAll("img")];
  const place = zoom.open ? Number(zoom.dataset.place) + 1 : 0;
  if (place < pictures.length) enlarge(pictures[place]);
  else zoom.close();
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (state === null || at("work").hidden) return;
  if (event.key === "z") {
    turn();
    return;
  }
  if (zoom.open) return;
  const choice = choices().find((it) => it.keys.includes(event.key));
  if (choice) {
    event.preventDefault();
    choose(choice.value);
  }
});
zoom.addEventListener("click", () => zoom.close());
at("begin").addEventListener("click", () => {
  begun = true;
  work();
});

asked("/task").then(show, (error) => failed(error.message, () => location.reload()));
