/** The dialog of one connection: its history, and why it was failed. */

import { drawHistory } from "./charts.js";
import { count, describe, duration, ms, processName, set, time } from "./format.js";

const dialog = document.querySelector("#details");
const part = (selector) => dialog.querySelector(selector);

const NOTES = {
  new: "It has answered no Ping yet.",
  ok: "It answers.",
  late: "Its Pong is overdue.",
  unsupported: "Its server gives no access to Pings.",
};

const orOff = (seconds) => (seconds === null ? "off" : `${seconds} s`);

function facts(connection) {
  const { srtt, rttvar, minimum, maximum, waiting, last_pong: last } = connection;
  return [
    ["Open for", duration(connection.age)],
    ["Latency", ms(connection.latency)],
    ["Average", srtt === null ? "…" : `${ms(srtt)} ± ${ms(rttvar)}`],
    ["Shortest, longest", srtt === null ? "…" : `${ms(minimum)}, ${ms(maximum)}`],
    ["Answered", `${count(connection.count)} of ${count(connection.pings)} Pings`],
    ["Last Pong", last === null ? "…" : `${duration(last)} ago`],
    ["Awaiting a Pong", waiting === null ? "no" : `for ${ms(waiting)}`],
    ["Ping interval", orOff(connection.ping_interval)],
    ["Ping timeout", orOff(connection.ping_timeout)],
    ["Served by", processName(connection)],
  ];
}

function factsOfFailed(failure) {
  return [
    ["Failed at", new Date(failure.at * 1000).toLocaleString()],
    ["Had been open for", duration(failure.age)],
    ["Served by", processName(failure)],
  ];
}

/** Return the text of whatever a verdict has. */
function evidence(value) {
  if (value === null) return "–";
  return typeof value === "number" ? value.toLocaleString("en", { maximumFractionDigits: 3 }) : value;
}

/**
 * Show a connection that is open, or one that has failed. Of the round trips of another process's
 * connection only the order is known.
 */
export function show(connection, now, isOfAll) {
  const { verdict, history, recent, path } = connection;
  const state = verdict ? "failed" : connection.state;
  set(part("h2"), path);
  set(part(".client"), connection.client);
  set(part(".state"), state);
  part(".state").dataset.state = state;
  set(part(".note"), verdict ? connection.why : NOTES[state]);
  part("section").hidden = !verdict;
  describe(part(".verdict"), verdict ? Object.entries(verdict).map(([k, v]) => [k, evidence(v)]) : []);
  describe(part(".facts"), verdict ? factsOfFailed(connection) : facts(connection));
  const isOrder = isOfAll && !verdict;
  if (isOrder) showHistory(recent.map((latency, n) => [recent.length - 1 - n, latency]));
  else showHistory(history ?? [], verdict ? connection.at : now);
  set(part(".times span:last-child"), verdict ? "failed" : isOrder ? "the last" : "now");
}

/** Show round trips up to an end; without one, they are counted back from the last of them. */
function showHistory(history, end) {
  const figure = part("figure");
  figure.hidden = part("details").hidden = !history.length;
  if (!history.length) return;
  const when = (ago) => (end ? time(end - ago) : ago ? `${ago} before the last` : "the last");
  set(part("figcaption"), `The last ${history.length === 1 ? "round trip" : `${history.length} round trips`}`);
  drawHistory(figure, history);
  if (!end) set(figure.querySelector(".times span"), when(history.length - 1));
  const latencies = history.map(([, latency]) => latency);
  part("svg").ariaLabel =
    `Latency over time, from ${ms(Math.min(...latencies))} to ${ms(Math.max(...latencies))}`;
  part("tbody").replaceChildren(
    ...history.toReversed().map(([ago, latency]) => {
      const row = document.createElement("tr");
      row.insertCell().textContent = when(ago);
      row.insertCell().textContent = ms(latency);
      return row;
    }),
  );
}

/** Say that a connection is not there any more, though it has not failed. */
export function showClosed(isProcessGone) {
  set(part(".state"), "closed");
  part(".state").dataset.state = "closed";
  set(part(".note"), isProcessGone ? "Its process has gone." : "It has been closed, and not by its keepalive.");
}

export const isOpen = () => dialog.open;

export function open() {
  part("details").open = false;
  dialog.showModal();
  dialog.scrollTop = 0;
}

export function onClose(callback) {
  dialog.addEventListener("close", callback);
  part(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
}
