/** Shows the connections, slowest first: of thousands only those rows that can be seen. */

const EVERY = 1000; // milliseconds from one look to the next
const PATIENCE = 5000; // milliseconds until the server has gone
const MORE = 10; // rows beyond what can be seen, for scrolling
const WIDTH = 120;
const HEIGHT = 20;

const summary = document.querySelector("#summary");
const body = document.querySelector("#connections tbody");
const failures = document.querySelector("#failures");
const [above, below] = [space(), space()];
const rows = [];
let lastFailure;
let looking = false;
let scrolled = false;
let seenAt = 0;

/** An empty row that stands for those that cannot be seen. */
function space() {
  const row = document.createElement("tr");
  row.className = "space";
  row.insertCell().colSpan = 8;
  return row;
}

const rowHeight = () => rows[0]?.offsetHeight || 28;

function setHeight(row, height) {
  row.hidden = height <= 0;
  row.firstChild.style.height = `${height}px`;
}

function duration(seconds) {
  if (seconds === null) return "…";
  if (seconds < 0) return "0.0 s"; // clocks differ
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function ms(seconds) {
  return seconds !== null && seconds < 1 ? `${(seconds * 1000).toFixed(1)} ms` : duration(seconds);
}

function set(cell, text, title = text) {
  if (cell.textContent !== text) cell.textContent = text;
  if (cell.title !== title) cell.title = title;
}

function newRow() {
  const row = document.createElement("tr");
  for (let n = 0; n < 8; n++) row.insertCell();
  row.cells[5].innerHTML = `<svg width="${WIDTH}" height="${HEIGHT}"><polyline></polyline></svg>`;
  return row;
}

/** Draw latencies from 0 to the largest of them. */
function draw(polyline, latencies) {
  const highest = Math.max(...latencies);
  const step = WIDTH / Math.max(1, latencies.length - 1);
  const points = latencies.map((latency, n) => {
    const y = HEIGHT - 1 - (latency / highest) * (HEIGHT - 2);
    return `${(n * step).toFixed(1)},${y.toFixed(1)}`;
  });
  polyline.setAttribute("points", points.join(" "));
}

function show(row, connection) {
  const { state, client, path, age, latency, recent, srtt, rttvar, waiting } = connection;
  const cells = row.cells;
  set(cells[0], state);
  cells[0].className = state;
  set(cells[1], client);
  set(cells[2], path);
  set(cells[3], duration(age));
  set(cells[4], state === "late" ? `> ${ms(waiting)}` : ms(latency));
  draw(cells[5].querySelector("polyline"), recent);
  cells[5].title = recent.map(ms).join(", ");
  set(cells[6], srtt === null ? "…" : `${ms(srtt)} ± ${ms(rttvar)}`);
  set(cells[7], duration(connection.last_pong), `${connection.count} of ${connection.pings} answered`);
}

/** Show rows from `offset` on, and leave the room of all others. */
function showAll(offset, total, connections) {
  const height = rowHeight();
  while (rows.length < connections.length) rows.push(newRow());
  connections.forEach((connection, n) => show(rows[n], connection));
  const visible = rows.slice(0, connections.length);
  if (body.childElementCount !== visible.length + 2 || body.firstChild !== above) {
    body.replaceChildren(above, ...visible, below);
  }
  setHeight(above, offset * height);
  setHeight(below, (total - offset - connections.length) * height);
}

function showFailures(all) {
  failures.hidden = !all.length;
  if (!all.length) return;
  const last = duration(Date.now() / 1000 - all[0].at);
  set(failures.querySelector("summary"), `${all.length} timed out lately, the last ${last} ago`);
  if (all[0].at === lastFailure) return;
  lastFailure = all[0].at;
  failures.querySelector("tbody").replaceChildren(
    ...all.map(({ at, client, path, why }) => {
      const row = document.createElement("tr");
      const when = new Date(at * 1000);
      for (const [text, title] of [
        [when.toLocaleTimeString(), when.toLocaleString()],
        [client], [path], [why],
      ]) {
        set(row.insertCell(), text, title);
      }
      return row;
    }),
  );
}

/** Look at what the window shows now. */
async function look() {
  if (looking) {
    scrolled = true;
    return;
  }
  looking = true;
  const height = rowHeight();
  const top = Math.max(0, -body.getBoundingClientRect().top);
  const offset = Math.max(0, Math.floor(top / height) - MORE);
  const limit = Math.ceil(innerHeight / height) + 2 * MORE;
  try {
    const signal = AbortSignal.timeout(PATIENCE);
    const answer = await fetch(`connections.json?offset=${offset}&limit=${limit}`, { signal });
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    const { total, late, unsupported, connections, failures } = await answer.json();
    seenAt = Date.now();
    document.body.classList.remove("stale");
    const parts = [`${total.toLocaleString()} open`, `${late.toLocaleString()} late`];
    if (unsupported) parts.push(`${unsupported.toLocaleString()} unsupported`);
    set(summary, `${parts.join(", ")}; slowest first`);
    showAll(Math.min(offset, total), total, connections);
    showFailures(failures);
  } catch (error) {
    document.body.classList.add("stale");
    const since = seenAt ? `, this is from ${new Date(seenAt).toLocaleTimeString()}` : "";
    set(summary, `${error.message}${since}`);
  } finally {
    looking = false;
  }
  if (scrolled) {
    scrolled = false;
    look();
  }
}

addEventListener("scroll", look, { passive: true });
addEventListener("resize", look);
document.addEventListener("visibilitychange", () => document.hidden || look());
setInterval(() => document.hidden || look(), EVERY);
look();
