/**
 * `node --test tests/browser/keepalive.test.mjs`: the page's half, without a browser.
 *
 * The environment may name another MODULE, by its path.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, test } from "node:test";

import {
  AssigningWebSocket,
  BubblingWebSocket,
  FakeWebSocket,
  ForeignWebSocket,
  Page,
  ProxiedWebSocket,
} from "./page.mjs";

let page = new Page();
const MODULE = process.env.MODULE ?? "../../asgi_keepalive/browser/keepalive.js";
const { KeepaliveWebSocket } = await import(MODULE); // it extends the page's WebSocket
page.close();

const vectors = JSON.parse(readFileSync(new URL("vectors.json", import.meta.url)));
const INTERVAL = 20;
const TIMEOUT = 10;

beforeEach(() => (page = new Page()));
afterEach(() => page.close());

/** Return a KeepaliveWebSocket that is open, and the events that its listeners see then. */
function connected(url = "/ws", Class = KeepaliveWebSocket) {
  const { socket, events } = connecting(Class, url);
  socket.open();
  events.length = 0;
  return { socket, events };
}

function connecting(Class = KeepaliveWebSocket, url = "/ws") {
  const socket = new Class(url);
  const events = [];
  for (const type of ["open", "message", "error", "close", "latency", "late", "recovered"]) {
    socket.addEventListener(type, (event) => events.push(event));
  }
  return { socket, events };
}

const types = (events) => events.map(({ type }) => type);

function isTimedOut({ socket, events }, expected = "keepalive timeout") {
  const ends = events.filter(({ type }) => type === "error" || type === "close");
  if (!ends.length) return false;
  assert.deepEqual(types(ends), ["error", "close"]);
  const [, { code, reason, wasClean }] = ends;
  assert.deepEqual([code, reason, wasClean], [1006, expected, false]);
  assert.equal(socket.readyState, 3);
  assert.equal(socket.health, null);
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
    ["https://other/ws", "wss://other/ws?", "wss://other/ws"],
    ["http://other/ws", "ws://other/ws?", "ws://other/ws"],
    ["ws://other/?", "ws://other/?&", "ws://other/?"],
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

  test("refuses a URL that it cannot change, though WebSocket takes it", () => {
    page.document.baseURI = "about:blank";
    assert.throws(() => new KeepaliveWebSocket("/ws"), /^Error: .* needs a whole URL$/);
    assert.equal(page.sockets[0].closed.length, 1);
    assert.equal(page.timers.length, 0);
  });

  test("leaves an empty URL to WebSocket", () => {
    connected("");
    assert.deepEqual(page.sockets.map(({ closed }) => closed.length), [1, 0]);
    FakeWebSocket.refusesEmpty = true;
    assert.throws(() => new KeepaliveWebSocket(""), SyntaxError);
  });

  test("leaves the lack of a URL to WebSocket", () => {
    assert.throws(() => new KeepaliveWebSocket(), /^TypeError: 1 argument required$/);
  });

  test("passes all else on", () => {
    new KeepaliveWebSocket("/ws", ["chat"], { headers: {} });
    assert.deepEqual(page.sockets[0].rest, [["chat"], { headers: {} }]);
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

  test("sends what it is given, and leaves the lack of it to WebSocket", () => {
    const { socket } = connected();
    socket.send("hello");
    assert.throws(() => socket.send(), /^TypeError: 1 argument required$/);
    assert.deepEqual(socket.sent, ["hello"]);
  });

  for (const [here, Class] of [
    ["no WebSocket", undefined],
    ["one that is no EventTarget", class {}],
    ["one that takes other events", ForeignWebSocket],
    ["one that knows no capturing", BubblingWebSocket],
    ["one that makes other objects", ProxiedWebSocket],
  ]) {
    test(`says so where there is ${here}, and can be imported`, async () => {
      globalThis.WebSocket = Class;
      const module = await import(`${MODULE}?${here}`);
      const connect = () => new module.KeepaliveWebSocket("wss://example.org/");
      assert.throws(connect, /^Error: .* needs a WebSocket to extend, and its Event$/);
      for (const { closed } of page.sockets) assert.equal(closed.length, 1);
      assert.equal(page.timers.length, 0);
    });
  }

  test("says so where there is no crypto, and can be imported", async () => {
    const crypto = Object.getOwnPropertyDescriptor(globalThis, "crypto");
    delete globalThis.crypto;
    try {
      const module = await import(`${MODULE}?withoutCrypto`);
      const connect = () => new module.KeepaliveWebSocket("wss://example.org/");
      assert.throws(connect, /^Error: KeepaliveWebSocket needs crypto$/);
    } finally {
      Object.defineProperty(globalThis, "crypto", crypto);
    }
  });

  test("parses no URL where there is no page", async () => {
    const { URL } = globalThis;
    delete globalThis.document;
    globalThis.WebSocket = AssigningWebSocket;
    globalThis.URL = class {}; // React Native's can do little
    try {
      const { KeepaliveWebSocket } = await import(`${MODULE}?withoutPage`);
      const { socket } = connected("ws://other/ws", KeepaliveWebSocket);
      assert.equal(socket.asked, `ws://other/ws?asgi-keepalive=${socket.nonce}`);
      const { asked, nonce } = connected(" ws://other/?a\n", KeepaliveWebSocket).socket;
      assert.equal(asked, `ws://other/?a&asgi-keepalive=${nonce}`);
    } finally {
      globalThis.URL = URL;
    }
  });

  test("works where there is no CloseEvent", async () => {
    delete globalThis.CloseEvent;
    const { KeepaliveWebSocket } = await import(`${MODULE}?withoutCloseEvent`);
    const connection = connected("/ws", KeepaliveWebSocket);
    connection.socket.beat();
    page.pass(INTERVAL + TIMEOUT + 0.001);
    assert.equal(isTimedOut(connection), true);
  });

  test("works where its base assigns what others compute, and wraps events", async () => {
    globalThis.WebSocket = AssigningWebSocket;
    const { KeepaliveWebSocket } = await import(`${MODULE}?assigning`);
    const connection = connected("/ws?a=1", KeepaliveWebSocket);
    assert.equal(connection.socket.url, "wss://example.org/ws?a=1");
    connection.socket.beat();
    page.pass(INTERVAL + TIMEOUT + 0.001);
    connection.socket.end();
    assert.equal(isTimedOut(connection), true);
  });

  test("works in a worker that was made from a blob", async () => {
    delete globalThis.document;
    globalThis.location = { href: "blob:https://example.org/0b8d" };
    const { KeepaliveWebSocket } = await import(`${MODULE}?blob`);
    assert.equal(connected("/ws", KeepaliveWebSocket).socket.url, "wss://example.org/ws");
  });

  test("works in a frame that was made from a blob", () => {
    page.document.baseURI = "blob:https://example.org/0b8d";
    assert.equal(connected("/ws").socket.url, "wss://example.org/ws");
  });

  for (const url of ["blob:null/0b8d", "data:text/javascript,1"]) {
    test(`asks from a worker at ${url}, which has no origin`, async () => {
      delete globalThis.document;
      globalThis.location = { href: url };
      const { KeepaliveWebSocket } = await import(`${MODULE}?${url}`);
      const { socket } = connected("wss://other/ws", KeepaliveWebSocket);
      assert.equal(socket.asked, `wss://other/ws?asgi-keepalive=${socket.nonce}`);
    });
  }

  test("lets subclasses have methods that need their fields", () => {
    class Counting extends KeepaliveWebSocket {
      #listeners = 0;
      addEventListener(...args) {
        this.#listeners++;
        super.addEventListener(...args);
      }
      get listeners() {
        return this.#listeners;
      }
    }
    assert.equal(connected("/ws", Counting).socket.listeners, 7); // the test's own
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
      assert.deepEqual(types(events), ["latency"]);
      assert.equal(socket.latency, expected.latency);
      assert.equal(socket.reconnectAfter, expected.reconnectAfter ?? null);
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
      assert.deepEqual(types(events), ["message"]);
    });
  }
});

describe("when to come back", () => {
  test("is what the last heartbeat says, also after the end", () => {
    const { socket } = connected();
    const told = [socket.reconnectAfter];
    socket.addEventListener("latency", () => told.push(socket.reconnectAfter));
    socket.addEventListener("close", () => told.push(socket.reconnectAfter));
    socket.beat();
    socket.beat({ reconnectAfter: 3.25 });
    socket.receive("goodbye");
    socket.beat({ reconnectAfter: 0 });
    socket.end(1012, "service restart", true);
    assert.deepEqual(told, [null, null, 3.25, 0, 0]);
  });

  test("is known if the server then falls silent", () => {
    const connection = connected();
    connection.socket.beat({ reconnectAfter: 3.25 });
    page.pass(INTERVAL + TIMEOUT + 0.001);
    assert.equal(isTimedOut(connection), true);
    assert.equal(connection.socket.reconnectAfter, 3.25);
  });

  for (const reconnectAfter of [-1, "soon", null, {}]) {
    test(`may be nonsense: ${JSON.stringify(reconnectAfter)}`, () => {
      const connection = connected();
      connection.socket.beat({ reconnectAfter });
      assert.deepEqual(connection.socket.reconnectAfter, reconnectAfter);
      assert.deepEqual(types(connection.events), ["latency"]);
      page.pass(INTERVAL + TIMEOUT - 0.001);
      assert.equal(isTimedOut(connection), false);
      page.pass(0.002);
      assert.equal(isTimedOut(connection), true);
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

const WAKING = [
  ["window", "offline"],
  ["window", "online"],
  ["window", "pageshow"],
  ["document", "resume"],
  ["document", "visibilitychange"],
];

describe("before the verdict", () => {
  const LATE = INTERVAL + TIMEOUT / 4;

  test("a page is told that a message is late, once", () => {
    const { socket, events } = connected();
    assert.equal(socket.health, "open");
    socket.beat();
    page.pass(LATE - 0.001);
    assert.equal(socket.health, "open");
    page.pass(0.002);
    assert.equal(socket.health, "late");
    page.pass(INTERVAL + TIMEOUT - LATE + 0.001);
    assert.deepEqual(types(events), ["latency", "late", "error", "close"]);
  });

  for (const kind of ["receive", "beat"]) {
    test(`it is told that all is well again, by a ${kind}`, () => {
      const { socket, events } = connected();
      socket.beat();
      page.pass(LATE + 1);
      socket[kind]();
      assert.equal(socket.health, "open");
      assert.equal(types(events).filter((type) => type === "recovered").length, 1);
      page.pass(LATE - 0.001);
      assert.equal(socket.health, "open");
      page.pass(0.002);
      assert.equal(socket.health, "late");
      page.pass(INTERVAL + TIMEOUT - LATE);
      assert.equal(isTimedOut({ socket, events }), true);
    });
  }

  test("messages that are queued are heard", () => {
    const { socket, events } = connected();
    socket.beat();
    page.pass(LATE - 0.5);
    page.sleep(0.5);
    page.wake();
    socket.receive("queued");
    page.pass(LATE - 0.001);
    assert.deepEqual(types(events), ["latency", "message"]);
  });

  test("nobody is told while the page closes", () => {
    const { socket, events } = connected();
    socket.beat();
    socket.close();
    socket.closed.length = 0;
    assert.equal(socket.health, null);
    page.pass(INTERVAL + TIMEOUT - 0.001);
    assert.deepEqual(types(events), ["latency"]);
    page.pass(0.002);
    assert.equal(isTimedOut({ socket, events }), true);
  });

  test("handlers are called", () => {
    const { socket } = connected();
    const called = [];
    for (const type of ["latency", "late", "recovered"]) {
      assert.equal(socket[`on${type}`], null);
      socket[`on${type}`] = function (event) {
        called.push([type, event.type, this === socket, event.target === socket]);
      };
    }
    socket.beat();
    page.pass(LATE + 0.001);
    socket.receive("more");
    socket.onlatency = null;
    socket.beat();
    const all = ["latency", "late", "recovered"];
    assert.deepEqual(called, all.map((type) => [type, type, true, true]));
  });

  test("a page that sends looks at once", () => {
    const connection = connected();
    connection.socket.beat();
    page.sleep(INTERVAL + TIMEOUT - 0.5); // and no timer has come
    connection.socket.send("hello");
    assert.deepEqual(connection.socket.sent, ["hello"]);
    page.pass(TIMEOUT - 0.001);
    assert.equal(isTimedOut(connection), false);
    page.pass(0.002);
    assert.equal(isTimedOut(connection), true);
  });
});

describe("connecting", () => {
  class Patient extends KeepaliveWebSocket {
    static connectTimeout = null;
  }
  class Hasty extends KeepaliveWebSocket {
    static connectTimeout = 0.5;
  }

  for (const [Class, seconds] of [[KeepaliveWebSocket, 10], [Hasty, 0.5]]) {
    test(`is given up after ${seconds} s`, () => {
      const { socket, events } = connecting(Class);
      page.pass(seconds - 0.001);
      assert.deepEqual([socket.readyState, socket.health, events.length], [0, null, 0]);
      page.pass(0.002);
      assert.equal(isTimedOut({ socket, events }, "connect timeout"), true);
      socket.end(1006, "", false);
      assert.deepEqual(types(events), ["error", "close"]);
    });
  }

  test("takes as long as it likes", () => {
    const { events } = connecting(Patient);
    page.pass(3600);
    assert.deepEqual([events, page.timers], [[], []]);
  });

  test("may take part of the time, and being open all of it", () => {
    const { socket, events } = connecting();
    page.pass(9.999);
    socket.open();
    page.pass(3600);
    assert.deepEqual(types(events), ["open"]);
  });

  test("may fail before", () => {
    const { socket, events } = connecting();
    socket.end(1006, "", false);
    assert.equal(page.timers.length, 0);
    page.pass(3600);
    assert.deepEqual(types(events), ["close"]);
  });

  test("is given another chance by a page that slept", () => {
    const { socket, events } = connecting();
    page.sleep(3600);
    page.wake();
    page.pass(9.999);
    assert.deepEqual(types(events), []);
    page.pass(0.002);
    assert.equal(isTimedOut({ socket, events }, "connect timeout"), true);
  });

  for (const wrong of [0, -1, NaN, "soon", undefined]) {
    test(`does not take ${wrong} for seconds`, () => {
      class Wrong extends KeepaliveWebSocket {
        static connectTimeout = wrong;
      }
      assert.throws(() => new Wrong("/ws"), /^Error: .* connectTimeout above 0, or null$/);
      assert.deepEqual(page.sockets, []);
    });
  }
});

describe("events of the page's own", () => {
  for (const trusts of [true, false]) {
    const where = trusts ? "a browser" : "Node";

    test(`do not disarm it, in ${where}`, () => {
      FakeWebSocket.trusts = trusts;
      const connection = connecting();
      const { socket, events } = connection;
      for (const type of ["open", "close", "error"]) socket.dispatchEvent(new Event(type));
      page.pass(9.999);
      socket.open();
      socket.beat();
      for (const type of ["open", "close", "error"]) socket.dispatchEvent(new Event(type));
      assert.deepEqual(types(events), [
        ...["open", "close", "error", "open", "latency", "open", "close", "error"],
      ]);
      events.length = 0;
      page.pass(INTERVAL + TIMEOUT + 0.001);
      assert.equal(isTimedOut(connection), true);
    });
  }

  test("are no life, and are seen, in a browser", () => {
    FakeWebSocket.trusts = true;
    const connection = connected();
    connection.socket.beat();
    const message = () => new MessageEvent("message", { data: "mine" });
    page.pass(INTERVAL + TIMEOUT - 1);
    connection.socket.dispatchEvent(message());
    page.pass(1.001);
    assert.equal(isTimedOut(connection), true);
    connection.socket.receive("late");
    connection.socket.dispatchEvent(message());
    assert.deepEqual(types(connection.events), ["latency", "late", "message", "error", "close", "message"]);
  });

  test("may have no data", () => {
    const { socket, events } = connected();
    socket.dispatchEvent(new Event("message"));
    assert.deepEqual(types(events), ["message"]);
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

  for (const [target, type] of WAKING) {
    test(`looks at once on ${type}`, () => {
      const connection = connected();
      connection.socket.beat();
      page.document.hidden = true;
      page.sleep(INTERVAL + TIMEOUT + 30); // and its timer is to come only in a while
      page.document.hidden = false;
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
