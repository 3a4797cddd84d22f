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

/** Not there where a page is rendered on its server, which imports this and connects to nothing. */
const Base = globalThis.WebSocket ?? EventTarget;

export class KeepaliveWebSocket extends Base {
  #nonce;
  #ended = new AbortController();
  #verdict = null; // the event
  #latency = null;
  #timeout = Infinity; // in milliseconds, as are the times below
  #patience = Infinity; // from one message to the verdict
  #heardAt = 0;
  #grace = 0; // until when it is given, if so
  #timer;
  #wakeAt = Infinity; // when the timer is due, by the clock that runs on in a laptop that sleeps

  constructor(url, protocols = []) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const nonce = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    let asking = url;
    try {
      asking = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
      asking.search += `${asking.search ? "&" : "?"}${PARAMETER}=${nonce}`;
    } catch {
      // WebSocket says so itself
    }
    super(asking, protocols);
    this.#nonce = nonce;
    // The first listener, and a capturing one: it can keep an event from all others.
    for (const type of ["open", "message", "error", "close"]) {
      this.addEventListener(type, (event) => this.#hear(event), { capture: true });
    }
    const { signal } = this.#ended;
    const check = () => this.#check();
    globalThis.addEventListener?.("online", check, { signal });
    globalThis.document?.addEventListener("visibilitychange", check, { signal });
  }

  get url() {
    return super.url.replace(RegExp(`[?&]${PARAMETER}=${this.#nonce}`), "");
  }

  get readyState() {
    return this.#verdict ? 3 : super.readyState;
  }

  get latency() {
    return this.#latency;
  }

  #hear(event) {
    if (this.#verdict) {
      if (event !== this.#verdict) event.stopImmediatePropagation();
    } else if (event.type === "close") {
      this.#end();
    } else if (event.type === "message") {
      this.#heardAt = performance.now();
      this.#grace = 0;
      const { data } = event;
      if (typeof data === "string" && data.startsWith(this.#nonce)) {
        event.stopImmediatePropagation();
        this.#learn(JSON.parse(data.slice(this.#nonce.length)));
      }
    }
  }

  #learn({ interval, timeout, latency }) {
    this.#timeout = (timeout ?? Infinity) * 1000;
    this.#patience = (interval ?? Infinity) * 1000 + this.#timeout;
    this.#latency = latency;
    this.#wait();
    this.dispatchEvent(new Event("latency"));
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
    super.close();
    const why = { code: 1006, reason: "keepalive timeout", wasClean: false };
    this.#verdict = new CloseEvent("close", why);
    this.dispatchEvent(this.#verdict);
  }

  #end() {
    clearTimeout(this.#timer);
    this.#patience = Infinity;
    this.#ended.abort();
  }
}
