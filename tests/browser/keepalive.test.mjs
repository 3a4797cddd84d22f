/** `node --test tests/browser/keepalive.test.mjs`: the page's half, without a browser. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, test } from "node:test";

import { KeepaliveWebSocket } from "../../asgi_keepalive/browser/keepalive.js";
import { Page } from "./page.mjs";

const vectors = JSON.parse(readFileSync(new URL("vectors.json", import.meta.url)));
const INTERVAL = 20;
const TIMEOUT = 10;

let page;
beforeEach(() => (page = new Page()));
afterEach(() => page.close());

/** Return a KeepaliveWebSocket that is open, the real one beneath, and the events it fires. */
function connected(url = "/ws") {
  const socket = new KeepaliveWebSocket(url);
  const events = [];
  for (const type of ["open", "message", "error", "close", "latency"]) {
    socket.addEventListener(type, (event) => events.push(event));
  }
  const [real] = page.sockets.slice(-1);
  real.open();
  events.length = 0;
  return { socket, real, events };
}

function isTimedOut({ socket, real, events }) {
  const closes = events.filter(({ type }) => type === "close");
  if (!closes.length) return false;
  assert.equal(closes.length, 1);
  const [{ code, reason, wasClean }] = closes;
  assert.deepEqual([code, reason, wasClean], [1006, "keepalive timeout", false]);
  assert.equal(socket.readyState, KeepaliveWebSocket.CLOSED);
  assert.equal(real.closed.length, 1);
  assert.equal(page.timers.length, 0);
  return true;
}

describe("asking", () => {
  test("adds a nonce of its own to each handshake", () => {
    const nonces = [connected(), connected()].map(({ real }) => real.nonce);
    for (const nonce of nonces) assert.match(nonce, /^[A-Za-z0-9_-]{16,64}$/);
    assert.notEqual(nonces[0], nonces[1]);
  });

  for (const [given, asked, shown] of [
    ["/ws", "wss://example.org/ws?", "wss://example.org/ws"],
    ["ws?a=%20b", "wss://example.org/app/ws?a=%20b&", "wss://example.org/app/ws?a=%20b"],
    ["ws://other:8000/", "ws://other:8000/?", "ws://other:8000/"],
    [new URL("wss://other/?q"), "wss://other/?q&", "wss://other/?q"],
  ]) {
    test(`leaves the rest of ${given}`, () => {
      const { socket, real } = connected(given);
      assert.equal(real.url, `${asked}asgi-keepalive=${real.nonce}`);
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
  test("has its constants", () => {
    const { socket } = connected();
    const names = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];
    assert.deepEqual(names.map((name) => KeepaliveWebSocket[name]), [0, 1, 2, 3]);
    assert.deepEqual(names.map((name) => socket[name]), [0, 1, 2, 3]);
  });

  test("passes calls and properties on", () => {
    const { socket, real } = connected();
    Object.assign(real, { bufferedAmount: 7, extensions: "x", protocol: "chat" });
    socket.binaryType = "arraybuffer";
    socket.send("hello");
    assert.deepEqual(real.sent, ["hello"]);
    assert.equal(real.binaryType, "arraybuffer");
    assert.deepEqual(
      [socket.binaryType, socket.bufferedAmount, socket.extensions, socket.protocol],
      ["arraybuffer", 7, "x", "chat"],
    );
    assert.equal(socket.readyState, 1);
    socket.close(4000, "bye");
    assert.deepEqual(real.closed, [[4000, "bye"]]);
    assert.equal(socket.readyState, 2);
  });

  test("passes events on", () => {
    const { socket, real, events } = connected();
    const data = new ArrayBuffer(3);
    real.open();
    real.receive("text");
    real.receive(data);
    real.dispatchEvent(new Event("error"));
    real.end(4001, "bye", true);
    assert.deepEqual(events.map(({ type }) => type), ["open", "message", "message", "error", "close"]);
    for (const event of events) assert.equal(event.target, socket);
    assert.deepEqual([events[1].data, events[1].origin], ["text", "wss://example.org"]);
    assert.equal(events[2].data, data);
    const { code, reason, wasClean } = events[4];
    assert.deepEqual([code, reason, wasClean], [4001, "bye", true]);
    assert.equal(socket.readyState, 3);
  });

  for (const type of ["open", "message", "error", "close"]) {
    test(`has on${type}`, () => {
      const { socket, real } = connected();
      const heard = [];
      assert.equal(socket[`on${type}`], null);
      const handler = function (event) {
        heard.push([this, event.type]);
      };
      socket[`on${type}`] = () => assert.fail("replaced");
      socket[`on${type}`] = handler;
      assert.equal(socket[`on${type}`], handler);
      real.dispatchEvent(new (type === "message" ? MessageEvent : Event)(type));
      assert.deepEqual(heard, [[socket, type]]);
      socket[`on${type}`] = null;
      assert.equal(socket[`on${type}`], null);
      real.dispatchEvent(new (type === "message" ? MessageEvent : Event)(type));
      assert.equal(heard.length, 1);
    });
  }

  test("expects nothing of a server that sends no heartbeat", () => {
    const connection = connected();
    connection.real.receive("hello");
    page.pass(3600);
    assert.equal(isTimedOut(connection), false);
    assert.equal(page.timers.length, 0);
    assert.equal(connection.socket.latency, null);
  });
});

describe("vectors", () => {
  for (const { nonce, text, ...expected } of vectors.heartbeats) {
    test(text, () => {
      const { socket, real, events } = connected();
      real.receive(text.replace(nonce, real.nonce));
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
      const { real, events } = connected();
      real.receive(text.replaceAll(nonce, real.nonce));
      assert.deepEqual(events.map(({ type }) => type), ["message"]);
    });
  }
});

describe("the verdict", () => {
  test("comes after interval and timeout, not before", () => {
    const connection = connected();
    connection.real.beat();
    page.pass(INTERVAL + TIMEOUT - 0.001);
    assert.equal(isTimedOut(connection), false);
    page.pass(0.002);
    assert.equal(isTimedOut(connection), true);
    page.pass(3600);
    assert.equal(isTimedOut(connection), true);
  });

  test("is put off by every message", () => {
    const connection = connected();
    connection.real.beat();
    for (const message of ["text", new ArrayBuffer(1), "more"]) {
      page.pass(INTERVAL);
      connection.real.receive(message);
    }
    page.pass(INTERVAL + TIMEOUT - 0.001);
    assert.equal(isTimedOut(connection), false);
    page.pass(0.002);
    assert.equal(isTimedOut(connection), true);
  });

  test("uses what the last heartbeat says", () => {
    const connection = connected();
    connection.real.beat();
    connection.real.beat({ interval: 1, timeout: 2, latency: 0.5 });
    assert.equal(connection.socket.latency, 0.5);
    page.pass(3.001);
    assert.equal(isTimedOut(connection), true);
  });

  test("waits longer than a timer can", () => {
    const connection = connected();
    connection.real.beat({ interval: 3e6 });
    page.pass(3e6 + TIMEOUT - 1);
    assert.equal(isTimedOut(connection), false);
    page.pass(2);
    assert.equal(isTimedOut(connection), true);
  });

  test("waits for no closing handshake", () => {
    const connection = connected();
    connection.real.beat();
    connection.socket.close();
    connection.real.closed.length = 0;
    page.pass(INTERVAL + TIMEOUT + 0.001);
    assert.equal(isTimedOut(connection), true);
  });

  test("is the end", () => {
    const connection = connected();
    connection.real.beat();
    page.pass(INTERVAL + TIMEOUT + 0.001);
    const heard = connection.events.length;
    connection.real.receive("late");
    connection.real.beat();
    connection.real.end(1000, "", true);
    page.window.dispatchEvent(new Event("online"));
    page.pass(3600);
    assert.equal(connection.events.length, heard);
    assert.equal(isTimedOut(connection), true);
  });

  test("does not come after the end", () => {
    const connection = connected();
    connection.real.beat();
    connection.real.end(1000, "", true);
    assert.equal(page.timers.length, 0);
    page.window.dispatchEvent(new Event("online"));
    page.pass(3600);
    assert.equal(connection.events.filter(({ type }) => type === "close").length, 1);
  });

  test("hears messages that are queued", () => {
    const connection = connected();
    connection.real.beat();
    page.pass(INTERVAL + TIMEOUT - 0.5);
    page.sleep(0.5); // too short to tell
    page.wake(); // and only then
    connection.real.receive("queued");
    page.pass(INTERVAL + TIMEOUT - 0.001);
    assert.equal(isTimedOut(connection), false);
  });
});

describe("a page that sleeps", () => {
  test("gives one timeout's grace after waking", () => {
    const connection = connected();
    connection.real.beat();
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
        connection.real.beat();
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
    connection.real.beat();
    page.sleep(3600);
    page.wake();
    page.pass(TIMEOUT - 1);
    connection.real.beat();
    page.pass(INTERVAL + TIMEOUT - 0.001);
    assert.equal(isTimedOut(connection), false);
    page.pass(0.002);
    assert.equal(isTimedOut(connection), true);
  });

  test("gives it each time it wakes", () => {
    const connection = connected();
    connection.real.beat();
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
      connection.real.beat();
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
      connection.real.beat();
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
    connection.real.beat();
    let second = 0;
    page.hide(10, () => ++second % INTERVAL || connection.real.beat());
    assert.equal(isTimedOut(connection), false);
  });

  test("notices a dead server in the end", () => {
    const connection = connected();
    connection.real.beat();
    page.hide(4);
    assert.equal(isTimedOut(connection), true);
  });

  test("gives grace once after each message", () => {
    const connection = connected();
    for (let n = 0; n < 3; n++) {
      connection.real.beat();
      page.hide(1);
      page.pass(TIMEOUT - 0.001);
      assert.equal(isTimedOut(connection), false);
    }
    page.pass(0.002);
    assert.equal(isTimedOut(connection), true);
  });
});
