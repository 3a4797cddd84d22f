/**
 * A WebSocket that notices when its server has fallen silent.
 *
 * Browsers answer Pings without telling the page, so a page whose network has died believes its
 * WebSocket open for many minutes. This one asks a server with asgi-keepalive for heartbeats that
 * the page can see; docs/browser.md of that project specifies them. With any other server it is a
 * plain WebSocket.
 */

const PARAMETER = "asgi-keepalive";

/** Milliseconds that a timer may be late while the page is awake. */
const LATE = 1000;

/** Milliseconds between looks, once a message is overdue: a shorter sleep is not noticed. */
const TICK = 1000;

/** Milliseconds that a timer can wait. */
const LONGEST = 2 ** 31 - 1;

export class KeepaliveWebSocket extends EventTarget {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSING = 2;
  static CLOSED = 3;

  #socket;
  #nonce;
  #handlers = {};
  #ended = new AbortController();
  #timedOut = false;
  #latency = null;
  #timeout = Infinity; // in milliseconds, as are the times below
  #patience = Infinity; // from one message to the verdict
  #heardAt = 0;
  #grace = 0; // until when it is given, if so
  #timer;
  #wakeAt = Infinity; // when the timer is due, by the clock that runs on in a laptop that sleeps

  static {
    for (const [name, value] of Object.entries({ CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 })) {
      Object.defineProperty(this.prototype, name, { value, enumerable: true });
    }
    for (const type of ["open", "message", "error", "close"]) {
      Object.defineProperty(this.prototype, `on${type}`, {
        get() {
          return this.#handlers[type] ?? null;
        },
        set(handler) {
          if (!(type in this.#handlers)) {
            this.addEventListener(type, (event) => this.#handlers[type]?.call(this, event));
          }
          this.#handlers[type] = typeof handler === "function" ? handler : null;
        },
        configurable: true,
        enumerable: true,
      });
    }
  }

  constructor(url, protocols = []) {
    super();
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    this.#nonce = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    let asking = url;
    try {
      asking = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
      asking.search += `${asking.search ? "&" : "?"}${PARAMETER}=${this.#nonce}`;
    } catch {
      // WebSocket says so itself
    }
    this.#socket = new WebSocket(asking, protocols);
    this.#socket.addEventListener("open", (event) => this.#pass(event));
    this.#socket.addEventListener("error", (event) => this.#pass(event));
    this.#socket.addEventListener("message", (event) => this.#hear(event));
    this.#socket.addEventListener("close", (event) => {
      this.#end();
      this.#pass(event);
    });
    const { signal } = this.#ended;
    const check = () => this.#check();
    globalThis.addEventListener?.("online", check, { signal });
    globalThis.document?.addEventListener("visibilitychange", check, { signal });
  }

  get url() {
    return this.#socket.url.replace(RegExp(`[?&]${PARAMETER}=${this.#nonce}`), "");
  }

  get readyState() {
    return this.#timedOut ? 3 : this.#socket.readyState;
  }

  get bufferedAmount() {
    return this.#socket.bufferedAmount;
  }

  get extensions() {
    return this.#socket.extensions;
  }

  get protocol() {
    return this.#socket.protocol;
  }

  get binaryType() {
    return this.#socket.binaryType;
  }

  set binaryType(type) {
    this.#socket.binaryType = type;
  }

  get latency() {
    return this.#latency;
  }

  send(data) {
    this.#socket.send(data);
  }

  close(...why) {
    this.#socket.close(...why);
  }

  #pass(event) {
    if (!this.#timedOut) this.dispatchEvent(new event.constructor(event.type, event));
  }

  #hear(event) {
    const { data } = event;
    this.#heardAt = performance.now();
    this.#grace = 0;
    if (typeof data !== "string" || !data.startsWith(this.#nonce)) {
      this.#pass(event);
      return;
    }
    const { interval, timeout, latency } = JSON.parse(data.slice(this.#nonce.length));
    this.#timeout = (timeout ?? Infinity) * 1000;
    this.#patience = (interval ?? Infinity) * 1000 + this.#timeout;
    this.#latency = latency;
    if (!this.#timedOut && this.readyState < 3) {
      this.#wait();
      this.dispatchEvent(new Event("latency"));
    }
  }

  #check() {
    // A timer that is late means that the page was suspended, or that it is hidden, where each is
    // late. What has come meanwhile may come in only now.
    const asleep = Date.now() - this.#wakeAt > LATE;
    if (asleep && (!this.#grace || globalThis.document?.visibilityState !== "hidden")) {
      this.#grace = performance.now() + this.#timeout;
    }
    this.#wait();
  }

  /** Wait until it is time for the verdict. */
  #wait() {
    clearTimeout(this.#timer);
    const now = performance.now();
    const deadline = Math.max(this.#heardAt + this.#patience, this.#grace);
    if (deadline === Infinity) return;
    if (now < deadline) {
      const overdue = deadline - this.#timeout;
      const next = Math.max(overdue, Math.min(now + TICK, deadline));
      const delay = Math.min(next - now, LONGEST);
      this.#wakeAt = Date.now() + delay;
      this.#timer = setTimeout(() => this.#check(), delay);
    } else {
      // Messages that are queued come before this.
      this.#timer = setTimeout(() => this.#judge(), 0);
    }
  }

  #judge() {
    if (performance.now() < this.#heardAt + this.#patience) {
      this.#wait();
      return;
    }
    this.#end();
    this.#socket.close();
    this.#timedOut = true;
    const why = { code: 1006, reason: "keepalive timeout", wasClean: false };
    this.dispatchEvent(new CloseEvent("close", why));
  }

  #end() {
    clearTimeout(this.#timer);
    this.#patience = Infinity;
    this.#ended.abort();
  }
}
