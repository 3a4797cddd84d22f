/** Charts of latencies. All of them have one scale: its steps are the bounds of the histogram. */

import { bound, count, duration, set } from "./format.js";

const LEVELS = 5; // of shade
const TICKS = [0.001, 0.01, 0.1, 1, 10]; // seconds

let bounds = [];

export function setBounds(all) {
  bounds = all;
}

/** Return where a latency stands, from 0 to 1. Between two bounds the scale is linear. */
function position(latency) {
  const steps = bounds.length;
  const n = bounds.findIndex((limit) => latency <= limit);
  if (n === -1) return 1;
  const from = n ? bounds[n - 1] : 0;
  return (n + (latency - from) / (bounds[n] - from)) / steps;
}

const y = (latency) => (98 - 96 * position(latency)).toFixed(1);

/** Draw latencies in their order, the last at the right; a row has room for `room`. */
export function drawRecent(svg, latencies, room) {
  const grid = svg.querySelector(".grid");
  if (!grid.hasAttribute("d")) drawGrid(grid, TICKS.slice(1, 4));
  const step = 100 / (room - 1);
  const first = 100 - step * (latencies.length - 1);
  const points = latencies.map((latency, n) => `${(first + n * step).toFixed(1)},${y(latency)}`);
  if (points.length === 1) points.unshift(`${first - step / 2},${y(latencies[0])}`);
  svg.querySelector("polyline").setAttribute("points", points.join(" "));
}

function drawGrid(path, latencies) {
  path.setAttribute("d", latencies.map((latency) => `M0 ${y(latency)}h100`).join(""));
}

/** Draw round trips, which ended some seconds ago each, over time. */
export function drawHistory(figure, history) {
  const svg = figure.querySelector("svg");
  const axis = figure.querySelector(".axis");
  drawGrid(svg.querySelector(".grid"), TICKS);
  if (!axis.childElementCount) {
    for (const tick of TICKS) {
      const label = axis.appendChild(document.createElement("span"));
      label.textContent = bound(tick);
      label.style.top = `${y(tick)}%`;
    }
  }
  const longest = Math.max(1, ...history.map(([ago]) => ago));
  const points = history.map(([ago, latency]) => [(98 - (96 * ago) / longest).toFixed(1), y(latency)]);
  svg.querySelector("polyline").setAttribute("points", points.join(" "));
  svg.querySelector(".dots").setAttribute("d", points.map(([x, y]) => `M${x} ${y}h0`).join(""));
  set(figure.querySelector(".times span"), `${duration(longest)} ago`);
}

/** Return the bound within which a part of the round trips lies, in words. */
export function within(latencies, part) {
  const all = latencies.reduce((sum, n) => sum + n, 0);
  if (!all) return "…";
  let seen = 0;
  const n = latencies.findIndex((number) => (seen += number) >= part * all);
  return n < bounds.length ? bound(bounds[n]) : `over ${bound(bounds.at(-1))}`;
}

/** Return how many round trips there were in all slots, by their latency. */
export function sum(slots) {
  const total = bounds.map(() => 0).concat(0);
  for (const { latencies } of slots) latencies.forEach((number, n) => (total[n] += number));
  return total;
}

function newLately(body) {
  const names = bounds.map((limit) => `≤ ${bound(limit)}`);
  names.push(`> ${bound(bounds.at(-1))}`);
  const rows = ["failed", ...names].map((name) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    row.append(head);
    const cell = row.insertCell();
    if (name !== "failed") cell.appendChild(document.createElement("div")).className = "bar";
    row.insertCell().className = "number";
    return row;
  });
  body.replaceChildren(...rows.reverse());
  const heat = body.rows[0].insertCell(1);
  heat.rowSpan = rows.length;
  heat.className = "heat";
  heat.append(document.querySelector("#heat").content.cloneNode(true));
}

/** Draw the last minutes: by time and latency as shades, by latency as bars. */
export function drawLately(table, { at, lately }) {
  const { seconds, slot, slots, failed } = lately;
  const body = table.tBodies[0];
  if (!body.rows.length) newLately(body);
  const total = sum(slots);
  const failures = Object.values(failed).reduce((sum, n) => sum + n, 0);
  const most = Math.max(1, ...total);
  [...body.rows].forEach((row, n) => {
    const number = n < total.length ? total[total.length - 1 - n] : failures;
    set(row.lastChild, count(number));
    if (n < total.length) row.querySelector(".bar").style.width = `${(100 * number) / most}%`;
  });
  const [...paths] = body.querySelectorAll("path");
  const drawn = paths.map(() => "");
  const deepest = Math.log1p(Math.max(1, ...slots.flatMap(({ latencies }) => latencies)));
  for (const { at: start, latencies, failed } of slots) {
    const x = Math.max(0, seconds - (at - start));
    const width = Math.min(slot, seconds - x);
    const cell = (row) => `M${x.toFixed(1)} ${row}h${width.toFixed(1)}v1h-${width.toFixed(1)}z`;
    latencies.forEach((number, n) => {
      const level = Math.ceil((LEVELS * Math.log1p(number)) / deepest);
      if (level) drawn[level - 1] += cell(latencies.length - 1 - n);
    });
    if (Object.keys(failed).length) drawn[LEVELS] += cell(latencies.length);
  }
  paths.forEach((path, n) => path.setAttribute("d", drawn[n]));
  body.querySelector("svg").setAttribute(
    "aria-label",
    `Latency over time. Half of ${count(total.reduce((sum, n) => sum + n, 0))} round trips within ` +
      `${within(total, 0.5)}, 99 % within ${within(total, 0.99)}; ${count(failures)} failed.`,
  );
}
