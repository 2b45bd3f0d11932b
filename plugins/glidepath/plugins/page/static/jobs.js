// News of what is made, from the server's stream of events.

import { $ } from "./tools.js";

export const jobs = new Map();
const listeners = [];

export function onJob(run) {
  listeners.push(run);
}

function tell(job, step) {
  for (const run of listeners) run(job, step);
}

export function start() {
  const stream = new EventSource("/api/events");
  const seen = window.glidepathSeen = []; // seconds from a step to its preview here, to be measured
  stream.addEventListener("open", () => ($("link").textContent = ""));
  stream.addEventListener("error", () => ($("link").textContent = "The server does not answer; trying again…"));
  stream.addEventListener("jobs", (event) => {
    const now = JSON.parse(event.data).jobs;
    const ids = new Set(now.map((job) => job.id));
    // what a server that was started anew does not know any more has ended with the old one
    for (const job of jobs.values()) {
      if (!ids.has(job.id) && !ended(job)) tell(Object.assign(job, { state: "failed", message: "The server was stopped meanwhile." }));
    }
    for (const job of now) keep(job);
  });
  stream.addEventListener("job", (event) => keep(JSON.parse(event.data)));
  stream.addEventListener("step", (event) => {
    const step = JSON.parse(event.data);
    if (step.at) seen.push(Date.now() / 1000 - step.at);
    if (seen.length > 500) seen.shift();
    const job = jobs.get(step.id);
    if (!job) return;
    Object.assign(job, { state: "running", index: step.index, total: step.total, stage: step.stage });
    tell(job, step);
  });
}

export function keep(job) {
  const known = jobs.get(job.id);
  const late = known && ended(known) && !ended(job); // an answer that came after the end
  if (!late) jobs.set(job.id, Object.assign(known ?? {}, job));
  tell(jobs.get(job.id));
}

export function ended(job) {
  return ["done", "cancelled", "failed"].includes(job.state);
}
