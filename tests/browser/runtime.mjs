/**
 * The life of two connections where there is no browser, of which one is never answered.
 *
 * The environment variable LIFE says where that is, to what they connect, and the file for what they
 * saw. If there is a function `test`, it runs as a test of jest or vitest.
 */

import { writeFileSync } from "node:fs";
import process from "node:process";

import { places } from "./places.mjs";

const { place, url, silent, server, result } = JSON.parse(process.env.LIFE);

async function live() {
  await places[place]();
  const { KeepaliveWebSocket } = await import("./keepalive.js");
  class Hasty extends KeepaliveWebSocket {
    static connectTimeout = 0.3;
  }
  try {
    const isPage = globalThis.location?.href === url;
    const socket = new KeepaliveWebSocket(isPage ? "?a=1" : url);
    const messages = [];
    socket.onmessage = ({ data }) => messages.push(data);
    socket.onopen = () => socket.send("hello");
    socket.addEventListener("latency", () => {
      if (socket.latency !== null) process.kill(server, "SIGSTOP");
    });
    const seen = { url: socket.url, messages };
    [seen.ends, seen.gaveUp] = await Promise.all([ends(socket), ends(new Hasty(silent))]);
    return { ...seen, latency: typeof socket.latency };
  } catch (error) {
    return { error: String(error) };
  } finally {
    process.kill(server, "SIGCONT");
  }
}

/** Return what a handler hears of a connection's end, and a listener: everything twice. */
function ends(socket) {
  const heard = [];
  const hear = ({ type, code, reason, wasClean }) =>
    heard.push([type, socket.readyState, code, reason, wasClean].join(" ").trim());
  for (const type of ["error", "close"]) {
    socket[`on${type}`] = (event) => hear(event);
    socket.addEventListener(type, hear);
  }
  return new Promise((resolve) => {
    socket.addEventListener("close", () => setTimeout(resolve, 50, heard)); // and no second one
  });
}

const tell = async () => writeFileSync(result, JSON.stringify(await live()));
if (globalThis.test) globalThis.test("lives", tell, 20_000);
else await tell();
