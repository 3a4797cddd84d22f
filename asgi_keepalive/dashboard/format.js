/** Numbers, times and names as people read them, put into the page as text and never as markup. */

export function duration(seconds) {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`; // clocks differ
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

/** Return a latency; of none, an ellipsis. */
export function ms(seconds) {
  if (seconds === null || seconds === undefined) return "…";
  return seconds < 1 ? `${(seconds * 1000).toFixed(1)} ms` : duration(seconds);
}

/** Return one of the bounds, which are round. */
export const bound = (seconds) => (seconds < 1 ? `${seconds * 1000}\u00a0ms` : `${seconds}\u00a0s`);

export const count = (number) => number.toLocaleString("en");

export const plural = (number, word, ending = "s") =>
  `${count(number)} ${word}${number === 1 ? "" : ending}`;

export const time = (at) => new Date(at * 1000).toLocaleTimeString();

export const processName = ({ host, pid }) => `process ${pid} on ${host}`;

/** Whether this is the same connection: its number is unique only in its process. */
export const isSame = (one, other) => one.process === other.process && one.number === other.number;

export function set(element, text, title) {
  if (element.textContent !== text) element.textContent = text;
  if (title !== undefined && element.title !== title) element.title = title;
}

/** Fill a list of descriptions with pairs of a name and a text. */
export function describe(list, pairs) {
  list.replaceChildren(
    ...pairs.map(([name, text]) => {
      const pair = document.createElement("div");
      for (const [tag, content] of [["dt", name], ["dd", text]]) {
        pair.appendChild(document.createElement(tag)).textContent = content;
      }
      return pair;
    }),
  );
}
