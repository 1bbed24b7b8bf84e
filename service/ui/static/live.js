// Follows the events of a sweep. The parts of the page that an event concerns fetch themselves
// again: at most once a second, and the slower they are the more rarely.

const KINDS = ["state", "reason", "trial", "progress", "repaired"];
const ENDED = ["completed", "failed", "cancelled"];
const PAUSE_MS = 1000;
const RETRY_MS = 3000;

const due = new Map(); // id of each part that fetches itself or has just done so -> again?
let stream = null;
let last = null; // id of the newest event seen
let hasEnded = false;

async function refresh(id) {
  const part = document.getElementById(id);
  if (!part) return;
  if (due.has(id)) return void due.set(id, true);
  due.set(id, false);
  const began = performance.now();
  try {
    const how = { source: part, target: part, select: `#${id}`, swap: "outerMorph" };
    await htmx.ajax("GET", part.dataset.source, how);
  } catch (error) {
    console.warn(error);
  }
  setTimeout(() => {
    const again = due.get(id);
    due.delete(id);
    if (again) refresh(id);
  }, Math.max(PAUSE_MS, 5 * (performance.now() - began)));
}

// Part of a trial's page: what happens to others is none of its business.
function concerns(part, kind, data) {
  if (!part.dataset.on.split(" ").includes(kind)) return false;
  const trial = part.dataset.trial;
  if (!trial || (kind !== "trial" && kind !== "progress")) return true;
  return data.key === trial || trial in (data.epochs ?? {});
}

function hear(event) {
  last = event.lastEventId;
  const { kind, data } = JSON.parse(event.data);
  if (kind === "state") hasEnded = ENDED.includes(data.state);
  for (const part of document.querySelectorAll("[data-on]"))
    if (concerns(part, kind, data)) refresh(part.id);
}

function say(words) {
  document.getElementById("connection").textContent = words;
}

function stop() {
  stream?.close();
  stream = null;
}

function follow() {
  const source = document.querySelector("[data-follow]");
  // A page that nobody sees asks for nothing; a browser has few connections to a service.
  if (document.hidden) return stop();
  if (stream || !source) return;
  last ??= source.dataset.after;
  stream = new EventSource(`${source.dataset.follow}?after=${last}`);
  stream.addEventListener("open", () => say(""));
  stream.addEventListener("error", () => {
    if (hasEnded) return stop();
    say("The connection to the service is interrupted; trying again.");
    // What the browser does not try again by itself: the service refused, or a proxy in between.
    if (stream.readyState === EventSource.CLOSED) {
      stop();
      refresh(source.id); // leads to the form where the login is over
      setTimeout(follow, RETRY_MS);
    }
  });
  for (const kind of KINDS) stream.addEventListener(kind, hear);
}

follow();
document.addEventListener("visibilitychange", follow);
for (const part of document.querySelectorAll("[data-incomplete]")) refresh(part.id);
