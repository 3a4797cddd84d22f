/** The table of connections: of thousands there are only those rows that can be seen. */

import { drawRecent } from "./charts.js";
import { count, duration, isSame, ms, set } from "./format.js";

const MORE = 10; // rows beyond what can be seen, for scrolling
const ROOM = 32; // round trips in a row

const table = document.querySelector("#connections");
const body = table.tBodies[0];
const template = document.querySelector("#row").content.firstElementChild;
const heads = table.querySelectorAll("th");
const rows = [];
const [above, below] = [space(), space()];
body.append(above, below);

/** An empty row that stands for those that cannot be seen. */
function space() {
  const row = document.createElement("tr");
  row.className = "space";
  row.insertCell();
  row.hidden = true;
  row.ariaHidden = "true";
  return row;
}

const rowHeight = () => rows.find((row) => row.isConnected)?.offsetHeight || 36;

function setHeight(row, height) {
  row.hidden = height <= 0;
  row.firstChild.style.height = `${height}px`;
}

/** Return the part of the table that the window shows now. */
export function visible() {
  const height = rowHeight();
  const top = Math.max(0, -body.getBoundingClientRect().top);
  const offset = Math.max(0, Math.floor(top / height) - MORE);
  return { offset, limit: Math.ceil(innerHeight / height) + 2 * MORE };
}

/** Scroll up to where the table begins, if it is above. */
export function toTop() {
  const { top } = table.getBoundingClientRect();
  if (top < 0) scrollBy(0, top);
}

function showOpen(cells, connection) {
  const { state, age, latency, recent, srtt, rttvar, waiting, last_pong: last } = connection;
  set(cells.state, state, "");
  cells.state.dataset.state = state;
  set(cells.age, duration(age));
  set(cells.latency, state === "late" ? `> ${ms(waiting)}` : ms(latency));
  drawRecent(cells.recent, recent, ROOM);
  set(cells.average, srtt === null ? "…" : `${ms(srtt)} ± ${ms(rttvar)}`, "");
  const answered = `${count(connection.count)} of ${count(connection.pings)} Pings answered`;
  set(cells.last, last === null ? "…" : duration(last), answered);
}

function showFailed(cells, { at, age, why, verdict, history }, now) {
  set(cells.state, verdict.reason, verdict.reason);
  cells.state.dataset.state = "failed";
  set(cells.age, duration(age));
  set(cells.latency, ms(history.at(-1)?.[1]));
  drawRecent(cells.recent, history.map(([, latency]) => latency), ROOM);
  set(cells.average, why.replace(`${verdict.reason}: `, ""), why);
  set(cells.last, `${duration(now - at)} ago`, new Date(at * 1000).toLocaleString());
}

const NAMES = [
  ...["state", "client", "path", "age", "latency", "recent", "average", "last"],
  ...["host", "process"],
];

/** Show a connection that is open, or one that has failed. */
function show(row, connection, now) {
  const cells = Object.fromEntries(NAMES.map((name, n) => [name, row.cells[n]]));
  set(cells.client, connection.client, connection.client);
  set(cells.path.firstChild, connection.path, connection.path);
  set(cells.host, connection.host, connection.host);
  set(cells.process, String(connection.pid));
  if (connection.verdict) showFailed(cells, connection, now);
  else showOpen(cells, connection);
  row.connection = connection;
}

/** Show rows from `offset` on, and leave the room of all others. */
export function showRows(offset, total, connections, now) {
  const focused = rows.find((row) => row.contains(document.activeElement));
  const connection = focused?.connection;
  while (rows.length < connections.length) rows.push(template.cloneNode(true));
  rows.forEach((row, n) => {
    if (n >= connections.length) {
      row.remove();
      return;
    }
    if (!row.isConnected) below.before(row);
    show(row, connections[n], now);
    row.ariaRowIndex = offset + n + 2; // the first is that of the heads
  });
  table.ariaRowCount = total + 1;
  const height = rowHeight();
  setHeight(above, offset * height);
  setHeight(below, (total - offset - connections.length) * height);
  if (focused && !isSame(focused.connection, connection)) focusOn(connection);
}

/** Show the heads; those of processes only if there may be several. */
export function showHeads(failed, shared) {
  table.classList.toggle("shared", shared);
  set(heads[0], failed ? "Verdict" : "State");
  set(heads[6], failed ? "Evidence" : "Average");
  set(heads[7], failed ? "Failed" : "Last Pong");
}

/** Move the focus to the row of a connection, if it is there. */
export function focusOn(connection) {
  const row = rows.find((row) => row.isConnected && isSame(row.connection, connection));
  row?.querySelector("button").focus({ preventScroll: true });
}

/** Call back when a row is opened, by a click or by its button. */
export function onOpen(callback) {
  body.addEventListener("click", ({ target }) => {
    const { connection } = target.closest("tr");
    if (connection && !String(getSelection())) callback(connection);
  });
  body.addEventListener("keydown", (event) => {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    const next = step && event.target.closest("tr")[step]?.querySelector("button");
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
}
