/**
 * A WebSocket that notices when its server has fallen silent.
 *
 * Browsers answer Pings without telling the page, so a page whose network has died believes its
 * WebSocket open for many minutes. This one asks a server with asgi-keepalive for heartbeats that
 * the page can see; docs/browser.md of that project specifies them. With any other server it is a
 * plain WebSocket, but for `connectTimeout`.
 */

/**
 * Milliseconds between looks, once something is overdue. A timer that is late by more than this
 * tells that the page slept.
 */
const TICK = 1000;

/** Milliseconds that a timer waits at most: beyond 31 bits it would come at once. */
const LONGEST = 1e9;

/** The types of the events that no other WebSocket has. */
const TYPES = ["latency", "late", "recovered"];

/** Not every place has all of these: pages, workers, Node and the like. */
const { CloseEvent, WebSocket, crypto, document, location } = globalThis;
const { defineProperty } = Object;
const { max, min } = Math;

/** Whoever renders a page on its server imports this, has no WebSocket, and needs none. */
const Base = WebSocket ?? class {};

export class KeepaliveWebSocket extends Base {
  /** Seconds that connecting may take; `null` if it may take as long as it likes. */
  static connectTimeout = 10;

  #nonce;
  #areTrusted; // whether the events of the base are, once it is open
  #isDeaf; // to the base, after the verdict
  #isLate;
  #heartbeat; // the last, if any
  #timeout; // in milliseconds, as are the times below
  #patience; // from one message to the verdict
  #heardAt = now();
  #grace = 0; // until when it is given, if so
  #timer;
  #wakeAt; // when the timer is due, by the clock that runs on in a laptop that sleeps
  #look = () => {
    // A timer that is late means that the page was suspended, or that it is hidden, where each is
    // late. What has come meanwhile may come in only now.
    const slept = Date.now() - this.#wakeAt > TICK;
    if (slept && !(this.#grace && document?.hidden)) {
      this.#grace = now() + this.#timeout;
    }
    this.#wait();
  };

  constructor(...args) {
    const { connectTimeout } = new.target;
    need(Base.prototype.dispatchEvent);
    need(crypto, "crypto");
    need(connectTimeout === null || connectTimeout > 0, "connectTimeout above 0, or null");
    const nonce = crypto
      .getRandomValues(new Uint8Array(32))
      .reduce((digits, byte) => digits + (byte % 16).toString(16), "");
    const question = `asgi-keepalive=${nonce}`;
    if (args.length) args[0] = ask(args[0], question);
    super(...args);
    try {
      // The first listener, and a capturing one: it can keep an event from all others.
      for (const type of ["open", "message", "error", "close"]) {
        super.addEventListener(type, this.#hear, true);
      }
      fire(this, "");
      need(this instanceof new.target);
    } catch {
      // Perhaps it is no object of this class. `close` returns nothing, so this throws.
      need(this.close());
    }
    this.#nonce = nonce;
    // Not an accessor of the class, as some bases assign it.
    const end = this.url.indexOf(question) - 1;
    defineProperty(this, "url", { value: this.url.slice(0, end) });
    need(end > 0 || super.close(), "a whole URL");
    for (const type of TYPES) {
      super.addEventListener(type, (event) => this["on" + type]?.(event));
    }
    this.#wake("add");
    this.#expect(0, connectTimeout);
  }

  get latency() {
    return this.#heartbeat?.latency ?? null;
  }

  get reconnectAfter() {
    return this.#heartbeat?.reconnectAfter ?? null;
  }

  get health() {
    const isOpen = this.readyState === 1;
    return isOpen ? (this.#isLate ? "late" : "open") : null;
  }

  send(...args) {
    if (Date.now() > this.#wakeAt) this.#look();
    return super.send(...args);
  }

  #hear = (event) => {
    const { type, isTrusted, data } = event;
    if (this.#areTrusted && !isTrusted) return;
    const isHeartbeat = data?.startsWith?.(this.#nonce);
    if (this.#isDeaf || isHeartbeat) event.stopImmediatePropagation();
    if (this.#isDeaf) return;
    if (type === "close" && this.readyState === 3) {
      this.#end();
    } else if (type === "open" && this.health && !this.#heartbeat) {
      this.#areTrusted = isTrusted; // which not all have
      this.#expect();
    } else if (type === "message") {
      this.#heardAt = now();
      this.#grace = 0;
      if (isHeartbeat) {
        const { interval, timeout } = (this.#heartbeat = JSON.parse(data.slice(32)));
        this.#expect(interval, timeout);
        fire(this, "latency");
      }
      if (this.#isLate) {
        this.#isLate = false;
        this.#wait();
        fire(this, "recovered");
      }
    }
  };

  /** Expect a message every `interval` seconds, and wait for another `timeout`; or for ever. */
  #expect(interval, timeout) {
    this.#timeout = (timeout ?? Infinity) * 1000;
    this.#patience = (interval ?? Infinity) * 1000 + this.#timeout;
    this.#wait();
  }

  /** Wait until the page is to be told, or the connection to be failed. */
  #wait(judges) {
    clearTimeout(this.#timer);
    this.#wakeAt = Infinity;
    const left = max(this.#heardAt + this.#patience, this.#grace) - now();
    if (left === Infinity) return;
    // The page is told as soon as a quarter of the timeout has passed.
    const due = left - (this.health === "open" ? 0.75 * this.#timeout : 0);
    if (due > 0) {
      const delay = min(max(left - this.#timeout, min(TICK, due)), LONGEST);
      this.#wakeAt = Date.now() + delay;
      this.#timer = setTimeout(this.#look, delay);
    } else if (!judges) {
      // Messages that are queued come before this.
      this.#timer = setTimeout(() => this.#wait(true));
    } else if (left > 0) {
      this.#isLate = true;
      this.#wait();
      fire(this, "late");
    } else {
      this.#fail();
    }
  }

  #fail() {
    const reason = `${this.#heartbeat ? "keepalive" : "connect"} timeout`;
    const why = { code: 1006, reason, wasClean: false };
    this.#end();
    this.#isDeaf = true;
    super.close();
    this.#isDeaf = false;
    defineProperty(this, "readyState", { get: () => 3, set() {} });
    fire(this, "error");
    // Node has no CloseEvent before 23.
    this.dispatchEvent(
      CloseEvent ? new CloseEvent("close", why) : Object.assign(new Event("close"), why),
    );
    this.#isDeaf = true;
  }

  #end() {
    this.#expect();
    this.#wake("remove");
  }

  /** Add or remove a listener for all that may come when a page wakes, before any timer does. */
  #wake(verb) {
    for (const type of ["offline", "online", "pageshow", "resume", "visibilitychange"]) {
      for (const target of [globalThis, document]) {
        target?.[verb + "EventListener"]?.(type, this.#look);
      }
    }
  }
}

for (const type of TYPES) KeepaliveWebSocket.prototype["on" + type] = null;

/**
 * Throw a sentence where something is missing. WebSocket and Event do not fit where a package or a
 * test environment has put others in their places.
 */
function need(has, what = "a WebSocket to extend, and its Event") {
  if (!has) throw Error(`KeepaliveWebSocket needs ${what}`);
}

/** Return a URL with a question for heartbeats. */
function ask(url, question) {
  if (url === "") new Base(url).close(); // or it throws, as in Firefox
  // A worker or frame that was made from a blob has its page's origin, if that has any.
  const base = (document?.baseURI ?? location?.href)?.replace(/^blob:(?!null)/, "");
  try {
    // Where there is no page, URL may be poorer than WebSocket.
    const asking = base ? new URL(url, base).href : `${url}`.trim();
    // Not all take http.
    return asking.replace(/^http/i, "ws") + (/\?/.test(asking) ? "&" : "?") + question;
  } catch {
    return url; // WebSocket says so itself
  }
}

const now = () => performance.now();
const fire = (target, type) => target.dispatchEvent(new Event(type));
