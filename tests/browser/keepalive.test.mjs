/** `node --test tests/browser/keepalive.test.mjs`: the page's half, without a browser. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, test } from "node:test";

import { Page } from "./page.mjs";

let page = new Page();
const MODULE = "../../asgi_keepalive/browser/keepalive.js";
const { KeepaliveWebSocket } = await import(MODULE); // it extends the page's WebSocket
page.close();

const vectors = JSON.parse(readFileSync(new URL("vectors.json", import.meta.url)));
const INTERVAL = 20;
const TIMEOUT = 10;

beforeEach(() => (page = new Page()));
afterEach(() => page.close());

/** Return a KeepaliveWebSocket that is open, and the events that its listeners see. */
function connected(url = "/ws") {
  const socket = new KeepaliveWebSocket(url);
  const events = [];
  for (const type of ["open", "message", "error", "close", "latency"]) {
    socket.addEventListener(type, (event) => events.push(event));
  }
  socket.open();
  events.length = 0;
  return { socket, events };
}

function isTimedOut({ socket, events }) {
  const closes = events.filter(({ type }) => type === "close");
  if (!closes.length) return false;
  assert.equal(closes.length, 1);
  const [{ code, reason, wasClean }] = closes;
  assert.deepEqual([code, reason, wasClean], [1006, "keepalive timeout", false]);
  assert.equal(socket.readyState, 3);
  assert.equal(socket.closed.length, 1);
  assert.equal(page.timers.length, 0);
  return true;
}

describe("asking", () => {
  test("adds a nonce of its own to each handshake", () => {
    const nonces = [connected(), connected()].map(({ socket }) => socket.nonce);
    for (const nonce of nonces) assert.match(nonce, /^[0-9a-f]{32}$/);
    assert.notEqual(nonces[0], nonces[1]);
  });

  for (const [given, asked, shown] of [
    ["/ws", "wss://example.org/ws?", "wss://example.org/ws"],
    ["ws?a=%20b", "wss://example.org/app/ws?a=%20b&", "wss://example.org/app/ws?a=%20b"],
    ["ws://other:8000/", "ws://other:8000/?", "ws://other:8000/"],
    [new URL("wss://other/?q"), "wss://other/?q&", "wss://other/?q"],
  ]) {
    test(`leaves the rest of ${given}`, () => {
      const { socket } = connected(given);
      assert.equal(socket.asked, `${asked}asgi-keepalive=${socket.nonce}`);
      assert.equal(socket.url, shown);
    });
  }

  test("passes a URL that is none on, for WebSocket to refuse", () => {
    assert.throws(() => new KeepaliveWebSocket("https://["), TypeError); // the fake's own
  });

  test("passes protocols on", () => {
    new KeepaliveWebSocket("/ws", ["chat"]);
    assert.deepEqual(page.sockets[0].protocols, ["chat"]);
  });
});

describe("a drop-in WebSocket", () => {
  test("is one", () => {
    assert.ok(connected().socket instanceof WebSocket);
  });

  test("lets events through as they are", () => {
    const { socket, events } = connected();
    const fired = [new Event("open"), new Event("error")];
    for (const data of ["text", new ArrayBuffer(3)]) fired.push(new MessageEvent("message", { data }));
    fired.push(new Event("close"));
    for (const event of fired) socket.dispatchEvent(event);
    assert.deepEqual(events, fired);
    assert.deepEqual(events.map((event, n) => event === fired[n]), fired.map(() => true));
  });

  test("can be imported where there is no WebSocket", async () => {
    delete globalThis.WebSocket;
    assert.ok((await import(`${MODULE}?again`)).KeepaliveWebSocket);
  });

  test("expects nothing of a server that sends no heartbeat", () => {
    const connection = connected();
    connection.socket.receive("hello");
    page.pass(3600);
    assert.equal(isTimedOut(connection), false);
    assert.equal(page.timers.length, 0);
    assert.equal(connection.socket.latency, null);
  });
});

describe("vectors", () => {
  for (const { nonce, text, ...expected } of vectors.heartbeats) {
    test(text, () => {
      const { socket, events } = connected();
      socket.receive(text.replace(nonce, socket.nonce));
      assert.deepEqual(events.map(({ type }) => type), ["latency"]);
      assert.equal(socket.latency, expected.latency);
      const patience = expected.interval + expected.timeout;
      const mortal = expected.interval !== null && expected.timeout !== null;
      page.pass(patience - 0.01);
      assert.equal(socket.readyState, 1);
      page.pass(0.02);
      assert.equal(socket.readyState, mortal ? 3 : 1);
    });
  }

  for (const { nonce, text } of vectors.messages) {
    test(text, () => {
      const { socket, events } = connected();
      socket.receive(text.replaceAll(nonce, socket.nonce));
      assert.deepEqual(events.map(({ type }) => type), ["message"]);
    });
  }
});

describe("the verdict", () => {
  test("comes after interval and timeout, not before", () => {
    const connection = connected();
    connection.socket.beat();
    page.pass(INTERVAL + TIMEOUT - 0.001);
    assert.equal(isTimedOut(connection), false);
    page.pass(0.002);
    assert.equal(isTimedOut(connection), true);
    page.pass(3600);
    assert.equal(isTimedOut(connection), true);
  });

  test("is put off by every message", () => {
    const connection = connected();
    connection.socket.beat();
    for (const message of ["text", new ArrayBuffer(1), "more"]) {
      page.pass(INTERVAL);
      connection.socket.receive(message);
    }
    page.pass(INTERVAL + TIMEOUT - 0.001);
    assert.equal(isTimedOut(connection), false);
    page.pass(0.002);
    assert.equal(isTimedOut(connection), true);
  });

  test("uses what the last heartbeat says", () => {
    const connection = connected();
    connection.socket.beat();
    connection.socket.beat({ interval: 1, timeout: 2, latency: 0.5 });
    assert.equal(connection.socket.latency, 0.5);
    page.pass(3.001);
    assert.equal(isTimedOut(connection), true);
  });

  test("waits longer than a timer can", () => {
    const connection = connected();
    connection.socket.beat({ interval: 3e6 });
    page.pass(3e6 + TIMEOUT - 1);
    assert.equal(isTimedOut(connection), false);
    page.pass(2);
    assert.equal(isTimedOut(connection), true);
  });

  test("waits for no closing handshake", () => {
    const connection = connected();
    connection.socket.beat();
    connection.socket.close();
    connection.socket.closed.length = 0;
    page.pass(INTERVAL + TIMEOUT + 0.001);
    assert.equal(isTimedOut(connection), true);
  });

  test("is the end", () => {
    const connection = connected();
    connection.socket.beat();
    page.pass(INTERVAL + TIMEOUT + 0.001);
    const heard = connection.events.length;
    connection.socket.receive("late");
    connection.socket.beat();
    connection.socket.end(1000, "", true);
    page.window.dispatchEvent(new Event("online"));
    page.pass(3600);
    assert.equal(connection.events.length, heard);
    assert.equal(isTimedOut(connection), true);
  });

  test("does not come after the end", () => {
    const connection = connected();
    connection.socket.beat();
    connection.socket.end(1000, "", true);
    assert.equal(page.timers.length, 0);
    page.window.dispatchEvent(new Event("online"));
    page.pass(3600);
    assert.equal(connection.events.filter(({ type }) => type === "close").length, 1);
  });

  test("hears messages that are queued", () => {
    const connection = connected();
    connection.socket.beat();
    page.pass(INTERVAL + TIMEOUT - 0.5);
    page.sleep(0.5); // too short to tell
    page.wake(); // and only then
    connection.socket.receive("queued");
    page.pass(INTERVAL + TIMEOUT - 0.001);
    assert.equal(isTimedOut(connection), false);
  });
});

describe("a page that sleeps", () => {
  test("gives one timeout's grace after waking", () => {
    const connection = connected();
    connection.socket.beat();
    page.sleep(3600);
    page.wake();
    page.pass(TIMEOUT - 0.001);
    assert.equal(isTimedOut(connection), false);
    page.pass(0.002);
    assert.equal(isTimedOut(connection), true);
  });

  for (const how of ["sleep", "suspend"]) {
    for (const when of [INTERVAL - 1, INTERVAL + 1, INTERVAL + TIMEOUT - 1]) {
      test(`gives it after any ${how}, here after ${when} s`, () => {
        const connection = connected();
        connection.socket.beat();
        page.pass(when);
        page[how](5);
        page.wake();
        page.pass(TIMEOUT - 0.001);
        assert.equal(isTimedOut(connection), false);
        page.pass(INTERVAL + TIMEOUT - (TIMEOUT - 0.001) + 0.001);
        assert.equal(isTimedOut(connection), true);
      });
    }
  }

  test("lives if its server does", () => {
    const connection = connected();
    connection.socket.beat();
    page.sleep(3600);
    page.wake();
    page.pass(TIMEOUT - 1);
    connection.socket.beat();
    page.pass(INTERVAL + TIMEOUT - 0.001);
    assert.equal(isTimedOut(connection), false);
    page.pass(0.002);
    assert.equal(isTimedOut(connection), true);
  });

  test("gives it each time it wakes", () => {
    const connection = connected();
    connection.socket.beat();
    for (let n = 0; n < 3; n++) {
      page.sleep(3600);
      page.wake();
      page.pass(TIMEOUT - 1);
    }
    assert.equal(isTimedOut(connection), false);
    page.pass(1.001);
    assert.equal(isTimedOut(connection), true);
  });

  for (const [target, type] of [["window", "online"], ["document", "visibilitychange"]]) {
    test(`looks at once on ${type}`, () => {
      const connection = connected();
      connection.socket.beat();
      page.document.visibilityState = "hidden";
      page.sleep(INTERVAL + TIMEOUT + 30); // and its timer is to come only in a while
      page.document.visibilityState = "visible";
      page[target].dispatchEvent(new Event(type));
      page.pass(TIMEOUT - 0.001);
      assert.equal(isTimedOut(connection), false);
      page.pass(0.002);
      assert.equal(isTimedOut(connection), true);
    });

    test(`puts nothing off on ${type}`, () => {
      const connection = connected();
      connection.socket.beat();
      for (let n = 0; n < 29; n++) {
        page.pass(1);
        page[target].dispatchEvent(new Event(type));
      }
      page.pass(1.001);
      assert.equal(isTimedOut(connection), true);
    });
  }
});

describe("a hidden tab", () => {
  test("raises no false alarm in ten minutes", () => {
    const connection = connected();
    connection.socket.beat();
    let second = 0;
    page.hide(10, () => ++second % INTERVAL || connection.socket.beat());
    assert.equal(isTimedOut(connection), false);
  });

  test("notices a dead server in the end", () => {
    const connection = connected();
    connection.socket.beat();
    page.hide(4);
    assert.equal(isTimedOut(connection), true);
  });

  test("gives grace once after each message", () => {
    const connection = connected();
    for (let n = 0; n < 3; n++) {
      connection.socket.beat();
      page.hide(1);
      page.pass(TIMEOUT - 0.001);
      assert.equal(isTimedOut(connection), false);
    }
    page.pass(0.002);
    assert.equal(isTimedOut(connection), true);
  });
});
