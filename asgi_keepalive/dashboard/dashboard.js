/** Shows the connections of a process: asks for what can be seen, once a second. */

import { drawLately, setBounds, sum, within } from "./charts.js";
import * as details from "./details.js";
import { count, set, time } from "./format.js";
import * as table from "./table.js";

const EVERY = 1000; // milliseconds from one look to the next
const PATIENCE = 5000; // milliseconds until the server has gone
const FAILURES = 100; // so many are kept

const [pause, search, state] = ["pause", "search", "state"].map((id) => document.getElementById(id));
const put = (id, text) => set(document.getElementById(id), text);

const processes = new Map(); // that have answered, by their names
let process; // the name of the one that did last
let failures = []; // of that one, the last of them first
let opened = null; // the connection whose details are shown
let openedIn;
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

function showProcess({ host, pid }) {
  process = `process ${pid} on ${host}`;
  processes.set(process);
  const others = processes.size - 1;
  const warning = others
    ? `; ${others} other${others > 1 ? "s" : ""} answered before: each shows its own connections`
    : "";
  put("process", process + warning);
}

function showTotals({ total, late, unsupported, lately }) {
  const { failed, pings_per_second: pings, slots } = lately;
  const reasons = Object.entries(failed);
  put("open", count(total));
  put("late", count(late));
  document.getElementById("late").classList.toggle("bad", late > 0);
  put("unsupported", count(unsupported));
  document.getElementById("unsupported").parentElement.hidden = !unsupported;
  put("failed", count(reasons.reduce((sum, [, number]) => sum + number, 0)));
  document.getElementById("failed").classList.toggle("bad", reasons.length > 0);
  put("reasons", reasons.map(([reason, number]) => `${count(number)}\u00a0${reason}`).join(", "));
  put("pings", pings.toLocaleString("en", { maximumFractionDigits: pings < 10 ? 1 : 0 }));
  const latencies = sum(slots);
  put("median", within(latencies, 0.5));
  put("most", within(latencies, 0.99));
  document.title = late ? `${count(late)} late | Connections` : "Connections";
}

function keep(news, since) {
  failures = (since === undefined ? news : [...news, ...failures]).slice(0, FAILURES);
}

const slowness = ({ waiting, latency }) => Math.max(waiting, latency);

function showOpen({ at, total, selected, connections }, { offset }, isPart) {
  connections.sort((one, other) => slowness(other) - slowness(one)); // latencies have changed since
  table.showRows(Math.min(offset, selected), selected, connections, at);
  put("found", `${count(selected)}${isPart ? ` of ${count(total)}` : ""} open, slowest first`);
}

function showFailed({ at }, { offset, limit }, text) {
  const isFound = ({ path, client }) => `${path}\n${client}`.toLowerCase().includes(text);
  const found = failures.filter(isFound);
  const rows = found.slice(offset, offset + limit);
  table.showRows(Math.min(offset, found.length), found.length, rows, at);
  put("found", `${count(found.length)} of the last ${count(failures.length)} that failed`);
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
  const asked = isFailed ? { limit: 0 } : { ...part };
  if (text) asked.search = text;
  if (selected && !isFailed) asked.state = selected;
  isNewSearch = false;
  if (failures.length && processes.size === 1) asked.since = failures[0].at;
  try {
    const answer = await ask(asked);
    seenAt = answer.at;
    setBounds(answer.lately.bounds);
    showProcess(answer.process);
    keep(answer.failures, asked.since);
    showTotals(answer);
    drawLately(document.getElementById("lately"), answer);
    table.showHeads(isFailed);
    if (isFailed) showFailed(answer, part, text.toLowerCase());
    else showOpen(answer, part, text || selected);
    if (isNew) put("announced", document.getElementById("found").textContent);
    await lookAtDetails();
    showTrouble("");
  } catch (error) {
    const since = seenAt ? `; this is from ${time(seenAt)}` : "";
    showTrouble(`No answer: ${error.message}${since}`);
  } finally {
    looking = false;
  }
  if (again) {
    again = false;
    look();
  }
}

function showTrouble(text) {
  put("trouble", text);
  document.getElementById("trouble").hidden = !text;
  document.body.classList.toggle("stale", text !== "");
}

/** Show the connection whose dialog is open as it is now. */
async function lookAtDetails() {
  if (!opened || opened.verdict) return;
  const { number } = opened;
  const answer = await ask({ number, since: seenAt });
  const { host, pid } = answer.process;
  if (opened?.number !== number || openedIn !== `process ${pid} on ${host}`) return;
  const isIt = (failure) => failure.number === number;
  const found = answer.connections[0] ?? [...answer.failures, ...failures].find(isIt);
  if (!found) {
    details.showClosed();
    return;
  }
  opened = found;
  details.show(found, answer.at);
}

function newSearch() {
  isNewSearch = true;
  table.toTop();
  look();
}

table.onOpen((connection) => {
  opened = connection;
  openedIn = process;
  details.show(connection, seenAt);
  details.open();
  look();
});
details.onClose(() => {
  const { number } = opened;
  opened = null;
  table.focusOn(number);
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
