// Follows the events of a sweep. A section that an event changes loads itself again: at most once
// a second, and less often the longer a load takes.

const KINDS = ["state", "reason", "trial", "progress", "extended", "repaired"];
const ENDED = ["completed", "failed", "cancelled"];
const PAUSE_MS = 1000;
const RETRY_MS = 3000;

const loading = new Map(); // id of a section that is loading or pausing -> whether to load again
let stream = null;
let lastEventId = null;
let hasEnded = false;

async function refresh(id) {
  const section = document.getElementById(id);
  if (!section) return;
  if (loading.has(id)) return void loading.set(id, true);
  loading.set(id, false);
  const startedAt = performance.now();
  try {
    const options = { source: section, target: section, select: `#${id}`, swap: "outerMorph" };
    await htmx.ajax("GET", section.dataset.source, options);
  } catch (error) {
    console.warn(error);
  }
  setTimeout(() => {
    const again = loading.get(id);
    loading.delete(id);
    if (again) refresh(id);
  }, Math.max(PAUSE_MS, 5 * (performance.now() - startedAt)));
}

// Whether an event changes a section; the page of a trial ignores events of other trials.
function concerns(section, kind, data) {
  if (!section.dataset.on.split(" ").includes(kind)) return false;
  const trial = section.dataset.trial;
  if (!trial || (kind !== "trial" && kind !== "progress")) return true;
  return data.key === trial || trial in (data.epochs ?? {});
}

function onEvent(event) {
  lastEventId = event.lastEventId;
  const { kind, data } = JSON.parse(event.data);
  if (kind === "state") hasEnded = ENDED.includes(data.state);
  for (const section of document.querySelectorAll("[data-on]"))
    if (concerns(section, kind, data)) refresh(section.id);
}

function showConnection(message) {
  document.getElementById("connection").textContent = message;
}

function stop() {
  stream?.close();
  stream = null;
}

function follow() {
  const source = document.querySelector("[data-follow]");
  // A hidden page does not listen: browsers allow few connections per host.
  if (document.hidden) return stop();
  if (stream || !source) return;
  lastEventId ??= source.dataset.after;
  stream = new EventSource(`${source.dataset.follow}?after=${lastEventId}`);
  stream.addEventListener("open", () => showConnection(""));
  stream.addEventListener("error", () => {
    if (hasEnded) return stop();
    showConnection("The connection to the service is interrupted; reconnecting…");
    // The browser does not reconnect by itself after the service or a proxy has refused.
    if (stream.readyState === EventSource.CLOSED) {
      stop();
      refresh(source.id); // redirects to the login if the session has ended
      setTimeout(follow, RETRY_MS);
    }
  });
  for (const kind of KINDS) stream.addEventListener(kind, onEvent);
}

follow();
document.addEventListener("visibilitychange", follow);
for (const section of document.querySelectorAll("[data-incomplete]")) refresh(section.id);
