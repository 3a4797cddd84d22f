/** Shows the connections of a process, or of all: asks for what can be seen, once a second. */

import { drawLately, setBounds, sum, within } from "./charts.js";
import * as details from "./details.js";
import { count, isSame, plural, processName, set, time } from "./format.js";
import * as table from "./table.js";

const EVERY = 1000; // milliseconds from one look to the next
const PATIENCE = 5000; // milliseconds until the server has gone
const FAILURES = 100; // so many are kept
const BELATED = 60; // seconds after which a failure of another process may yet be told

const [pause, search, state] = ["pause", "search", "state"].map((id) => document.getElementById(id));
const put = (id, text) => set(document.getElementById(id), text);

const answered = new Set(); // the names of the processes that have answered
let shared = false; // whether the connections are those of all processes
let identities = ""; // of these processes
let isSteady = false; // whether they are those of the answer before
let failures = []; // of these processes, the last of them first
let opened = null; // the connection whose details are shown
let isOpenedOfAll;
let looking = false;
let again = false;
let seenAt = 0;
let isNewSearch = false;

/** Ask the server. If the page's URL has a name and a password, one relative to it is refused. */
async function ask(parameters) {
  const url = new URL("connections.json", location.origin + location.pathname);
  url.search = new URLSearchParams(parameters);
  const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  return answer.json();
}

function rememberProcesses(answer) {
  answered.add(processName(answer.process));
  const now = answer.processes.map(({ process }) => process).sort().join();
  isSteady = now === identities && (answer.shared || answered.size === 1);
  if (now !== identities && !(shared && answer.shared)) failures = []; // they are of others
  shared = answer.shared;
  identities = now;
}

/** Return whose connections are shown. */
function whose({ process, processes }) {
  if (shared) {
    const hosts = new Set(processes.map(({ host }) => host)).size;
    return `${plural(processes.length, "process", "es")} on ${plural(hosts, "host")}`;
  }
  const others = answered.size - 1;
  const name = processName(process);
  if (!others) return name;
  return `${name}; ${plural(others, "other")} answered before: each shows its own connections`;
}

function showProcesses(answer) {
  const { process, lately } = answer;
  const hasNone = shared && !lately.slots.length; // as a process that only has the dashboard
  document.getElementById("lately").hidden = hasNone;
  document.getElementById("median").closest("div").hidden = hasNone;
  const name = processName(process);
  put("process", whose(answer));
  put("where", shared ? `, of ${name} alone` : "");
  put("whose", shared ? `in process ${process.pid} alone` : "");
  search.placeholder = shared ? "path, client or host" : "path or client";
}

/** Return how many were failed in the last minutes, by reason; of all processes at most the last 100. */
function failedLately({ at, lately }) {
  if (!shared) return lately.failed;
  const counts = {};
  for (const { at: failedAt, verdict } of failures) {
    if (failedAt > at - lately.seconds) counts[verdict.reason] = (counts[verdict.reason] ?? 0) + 1;
  }
  return counts;
}

function showTotals(answer) {
  const { total, late, unsupported, processes, lately } = answer;
  const pings = processes.reduce((sum, { pings_per_second: pings }) => sum + pings, 0);
  const reasons = Object.entries(failedLately(answer));
  put("open", count(total));
  put("late", count(late));
  document.getElementById("late").classList.toggle("bad", late > 0);
  put("unsupported", count(unsupported));
  document.getElementById("unsupported").parentElement.hidden = !unsupported;
  const failed = reasons.reduce((sum, [, number]) => sum + number, 0);
  put("failed", shared && failed >= FAILURES ? `${count(failed)} or more` : count(failed));
  document.getElementById("failed").classList.toggle("bad", reasons.length > 0);
  put("reasons", reasons.map(([reason, number]) => `${count(number)}\u00a0${reason}`).join(", "));
  put("pings", pings.toLocaleString("en", { maximumFractionDigits: pings < 10 ? 1 : 0 }));
  const latencies = sum(lately.slots);
  put("median", within(latencies, 0.5));
  put("most", within(latencies, 0.99));
  document.title = late ? `${count(late)} late | Connections` : "Connections";
}

function keep(news, since) {
  const isNew = (failure) => !news.some((one) => isSame(one, failure));
  const old = since === undefined ? [] : failures.filter(isNew);
  failures = [...news, ...old].sort((one, other) => other.at - one.at).slice(0, FAILURES);
}

/** Return the parameter that asks only for the failures that are not known. */
function sinceKnown() {
  if (!failures.length || !isSteady) return {};
  return { since: Math.max(0, failures[0].at - (shared ? BELATED : 0)) };
}

const slowness = ({ waiting, latency }) => Math.max(waiting, latency);

/** Return how many are selected, of those that were read and of all. */
function foundText({ total, read, selected }, isSelection) {
  const of = read < total ? ` of ${count(read)} read, ${count(total)} open` : ` of ${count(total)} open`;
  return `${count(selected)}${isSelection || read < total ? of : " open"}, slowest first`;
}

function showOpen(answer, { offset }, isSelection) {
  const { at, selected, connections } = answer;
  connections.sort((one, other) => slowness(other) - slowness(one)); // latencies have changed since
  table.showRows(Math.min(offset, selected), selected, connections, at);
  put("found", foundText(answer, isSelection));
}

function showFailed({ at }, { offset, limit }, text) {
  const isFound = ({ path, client, host, pid }) => {
    const names = shared ? [path, client, host, pid] : [path, client];
    return names.join("\n").toLowerCase().includes(text);
  };
  const all = failures.filter(isFound);
  const rows = all.slice(offset, offset + limit);
  table.showRows(Math.min(offset, all.length), all.length, rows, at);
  put("found", `${count(all.length)} of the last ${count(failures.length)} that failed`);
}

/** Look at what the window shows now. */
async function look() {
  if (looking) {
    again = true;
    return;
  }
  looking = true;
  const part = table.visible();
  const [text, selected, isNew] = [search.value, state.value, isNewSearch];
  const isFailed = selected === "failed";
  const asked = { ...(isFailed ? { limit: 0 } : part), ...sinceKnown() };
  if (text) asked.search = text;
  if (selected && !isFailed) asked.state = selected;
  isNewSearch = false;
  try {
    const answer = await ask(asked);
    seenAt = answer.at;
    setBounds(answer.lately.bounds);
    rememberProcesses(answer);
    keep(answer.failures, asked.since);
    showProcesses(answer);
    showTotals(answer);
    drawLately(document.getElementById("lately"), answer);
    table.showHeads(isFailed, shared);
    if (isFailed) showFailed(answer, part, text.toLowerCase());
    else showOpen(answer, part, text || selected);
    if (isNew) put("announced", document.getElementById("found").textContent);
    await lookAtDetails();
    showTrouble(answer.trouble ?? "");
  } catch (error) {
    const since = seenAt ? `; this is from ${time(seenAt)}` : "";
    showTrouble(`No answer: ${error.message}${since}`, true);
  } finally {
    looking = false;
  }
  if (again) {
    again = false;
    look();
  }
}

function showTrouble(text, isStale = false) {
  put("trouble", text);
  document.getElementById("trouble").hidden = !text;
  document.body.classList.toggle("stale", isStale);
}

/** Show the connection whose dialog is open as it is now. */
async function lookAtDetails() {
  if (!opened || opened.verdict) return;
  const asked = opened;
  const { process, number } = asked;
  const answer = await ask({ process, number, ...sinceKnown() });
  if (!opened || !isSame(opened, asked) || answer.shared !== isOpenedOfAll) return;
  const isThere = answer.processes.some((one) => one.process === process);
  if (!isThere && !answer.shared) return; // another process has answered
  const isIt = (failure) => isSame(failure, asked);
  const found = answer.connections[0] ?? [...answer.failures, ...failures].find(isIt);
  if (!found) {
    details.showClosed(!isThere);
    return;
  }
  opened = found;
  details.show(found, answer.at, answer.shared);
}

function newSearch() {
  isNewSearch = true;
  table.toTop();
  look();
}

table.onOpen((connection) => {
  opened = connection;
  isOpenedOfAll = shared;
  details.show(connection, seenAt, shared);
  details.open();
  look();
});
details.onClose(() => {
  const closed = opened;
  opened = null;
  table.focusOn(closed);
});

const isPaused = () => pause.ariaPressed === "true";
pause.addEventListener("click", () => {
  pause.ariaPressed = String(!isPaused());
  look();
});
search.addEventListener("input", newSearch);
state.addEventListener("change", newSearch);
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (details.isOpen() || event.target === search) return;
  event.preventDefault();
  search.focus();
  search.select();
});
addEventListener("scroll", look, { passive: true });
addEventListener("resize", look);
document.addEventListener("visibilitychange", () => document.hidden || look());
setInterval(() => document.hidden || isPaused() || look(), EVERY);
look();
