/** A page without a browser: its clock, its timers, its events, and WebSockets that a test drives. */

export class Page {
  /** What the module finds in a page; `globalThis` until `close`. */
  constructor() {
    this.now = 0;
    this.stoodStill = 0; // how long `performance.now` has
    this.timers = [];
    this.sockets = [];
    this.window = new EventTarget();
    this.document = Object.assign(new EventTarget(), {
      visibilityState: "visible",
      baseURI: "https://example.org/app/",
    });
    const page = this;
    const replaced = {
      document: this.document,
      performance: { now: () => this.now - this.stoodStill },
      Date: { now: () => this.now },
      setTimeout: (run, delay) => this.#set(run, delay),
      clearTimeout: (timer) => (this.timers = this.timers.filter((one) => one !== timer)),
      addEventListener: this.window.addEventListener.bind(this.window),
      WebSocket: class extends FakeWebSocket {
        constructor(...given) {
          super(...given);
          page.sockets.push(this);
        }
      },
      CloseEvent,
    };
    this.original = {};
    for (const [name, value] of Object.entries(replaced)) {
      this.original[name] = Object.getOwnPropertyDescriptor(globalThis, name);
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    }
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
    this.document.visibilityState = "hidden";
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

class FakeWebSocket extends EventTarget {
  binaryType = "blob";
  bufferedAmount = 0;
  extensions = "";
  protocol = "";
  readyState = 0;
  sent = [];
  closed = [];

  constructor(url, protocols) {
    super();
    this.url = String(new URL(url, "wss://example.org/")).replace(/^http/, "ws");
    this.protocols = protocols;
  }

  get nonce() {
    return /asgi-keepalive=(.*)$/.exec(this.url)[1];
  }

  send(data) {
    this.sent.push(data);
  }

  close(...why) {
    this.closed.push(why);
    this.readyState = 2;
  }

  // What a test lets happen.

  open() {
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }

  receive(data) {
    this.dispatchEvent(new MessageEvent("message", { data, origin: "wss://example.org" }));
  }

  beat(heartbeat = {}) {
    const all = { interval: 20, timeout: 10, latency: null, ...heartbeat };
    this.receive(this.nonce + JSON.stringify(all));
  }

  end(code, reason, wasClean) {
    this.readyState = 3;
    this.dispatchEvent(new CloseEvent("close", { code, reason, wasClean }));
  }
}
