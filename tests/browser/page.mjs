/** A page without a browser: its clock, its timers, its events, and WebSockets that a test drives. */

const document = new EventTarget();

export class Page {
  /** What the module finds in a page; `globalThis` until `close`. */
  constructor() {
    this.now = 0;
    this.stoodStill = 0; // how long `performance.now` has
    this.timers = [];
    Object.assign(FakeWebSocket, { made: [], refusesEmpty: false, trusts: false });
    this.window = new EventTarget();
    this.document = document; // which a module may keep
    Object.assign(document, { hidden: false, baseURI: "https://example.org/app/" });
    const replaced = {
      document: this.document,
      location: undefined,
      performance: { now: () => this.now - this.stoodStill },
      Date: { now: () => this.now },
      setTimeout: (run, delay) => this.#set(run, delay),
      clearTimeout: (timer) => (this.timers = this.timers.filter((one) => one !== timer)),
      addEventListener: this.window.addEventListener.bind(this.window),
      removeEventListener: this.window.removeEventListener.bind(this.window),
      WebSocket: FakeWebSocket,
      CloseEvent,
    };
    this.original = {};
    for (const [name, value] of Object.entries(replaced)) {
      this.original[name] = Object.getOwnPropertyDescriptor(globalThis, name);
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    }
  }

  /** The WebSockets that were made, in their order. */
  get sockets() {
    return FakeWebSocket.made;
  }

  close() {
    for (const [name, descriptor] of Object.entries(this.original)) {
      if (descriptor) Object.defineProperty(globalThis, name, descriptor);
      else delete globalThis[name];
    }
  }

  #set(run, delay) {
    // As a browser counts: in 32 bits.
    const timer = { run, at: this.now + (delay < 2 ** 31 ? delay : 1) };
    this.timers.push(timer);
    return timer;
  }

  /** Let seconds pass, with every timer on time. */
  pass(seconds) {
    const end = this.now + seconds * 1000;
    for (;;) {
      const due = this.timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.now = Math.max(this.now, due.at);
      this.#run(due);
    }
    this.now = end;
  }

  /** Let seconds pass in which nothing runs. */
  sleep(seconds) {
    this.now += seconds * 1000;
  }

  /** Let seconds pass in which not even the clocks of timers run, as in some laptops. */
  suspend(seconds) {
    this.sleep(seconds);
    this.stoodStill += seconds * 1000;
    for (const timer of this.timers) timer.at += seconds * 1000;
  }

  /** Run what is due by now; that is, wake up. */
  wake() {
    for (const due of this.timers.filter(({ at }) => at <= this.now)) this.#run(due);
  }

  /** Let minutes pass in a hidden tab, with timers once a minute. */
  hide(minutes, each = () => {}) {
    this.document.hidden = true;
    for (let n = 0; n < minutes; n++) {
      for (let second = 0; second < 60; second++) {
        this.sleep(1);
        each();
      }
      this.wake();
    }
  }

  #run(timer) {
    clearTimeout(timer);
    timer.run();
  }
}

class CloseEvent extends Event {
  constructor(type, { code = 0, reason = "", wasClean = false } = {}) {
    super(type);
    Object.assign(this, { code, reason, wasClean });
  }
}

/** As those of a browser are, which no page can make. */
const trusted = (event) => Object.defineProperty(event, "isTrusted", { value: true });

/** A WebSocket with which happens what a test lets happen. */
class DrivenWebSocket extends EventTarget {
  closed = [];
  sent = [];

  close(...why) {
    this.closed.push(why);
    this.state = 2;
  }

  send(data) {
    if (!arguments.length) throw new TypeError("1 argument required");
    this.sent.push(data);
  }

  open() {
    this.state = 1;
    this.#fire(new Event("open"));
  }

  receive(data = "hello") {
    this.#fire(new MessageEvent("message", { data, origin: "wss://example.org" }));
  }

  beat(heartbeat = {}) {
    const all = { interval: 20, timeout: 10, latency: null, ...heartbeat };
    this.receive(this.nonce + JSON.stringify(all));
  }

  end(code, reason, wasClean) {
    this.state = 3;
    this.#fire(new CloseEvent("close", { code, reason, wasClean }));
  }

  get nonce() {
    return /asgi-keepalive=(.*)$/.exec(this.asked)[1];
  }

  #fire(event) {
    this.dispatchEvent(FakeWebSocket.trusts ? trusted(event) : event);
  }
}

/** As in browsers, with attributes of the class. */
export class FakeWebSocket extends DrivenWebSocket {
  static made = [];
  static refusesEmpty = false;
  static trusts = false;
  state = 0;

  constructor(url, ...rest) {
    super();
    if (!arguments.length) throw new TypeError("1 argument required");
    if (url === "" && FakeWebSocket.refusesEmpty) throw new SyntaxError("no URL");
    this.asked = String(new URL(url, "wss://example.org/")).replace(/^http/, "ws");
    this.rest = rest;
    FakeWebSocket.made.push(this);
  }

  get url() {
    return this.asked;
  }

  get readyState() {
    return this.state;
  }
}

/** An event as packages for EventTarget hand it on: in one of their own. */
class WrappedEvent extends Event {
  constructor(event) {
    super(event.type);
    const { data, code, reason, wasClean } = event;
    Object.assign(this, { data, code, reason, wasClean });
    Object.defineProperty(this, "isTrusted", { value: undefined });
  }
}

/** As those of React Native and some for tests are, which assign attributes and wrap events. */
export class AssigningWebSocket extends DrivenWebSocket {
  constructor(url) {
    super();
    this.url = url;
    this.asked = url;
    this.state = 0;
  }

  set state(state) {
    this.readyState = state;
  }

  dispatchEvent(event) {
    return super.dispatchEvent(new WrappedEvent(event));
  }
}

/** As one is that takes the events of its own window only. */
export class ForeignWebSocket extends FakeWebSocket {
  dispatchEvent() {
    throw new TypeError("not of type Event");
  }
}

/** As that of Cloudflare's workers is. */
export class BubblingWebSocket extends FakeWebSocket {
  addEventListener(type, listener, captures = false) {
    if (captures) throw new TypeError("useCapture must be false");
    super.addEventListener(type, listener);
  }
}

/** As one is that interceptors put in its place, which makes objects of another class. */
export const ProxiedWebSocket = new Proxy(
  class extends FakeWebSocket {
    close() {
      throw new TypeError("Illegal invocation");
    }
  },
  { construct: (_, args) => new FakeWebSocket(...args) },
);
