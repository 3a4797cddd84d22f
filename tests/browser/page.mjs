/** A page without a browser: its clock, its timers, its events, and WebSockets that a test drives. */

export class Page {
  /** What the module finds in a page; `globalThis` until `close`. */
  constructor() {
    this.now = 0;
    this.stoodStill = 0; // how long `performance.now` has
    this.timers = [];
    FakeWebSocket.made = [];
    this.window = new EventTarget();
    this.document = Object.assign(new EventTarget(), {
      visibilityState: "visible",
      baseURI: "https://example.org/app/",
    });
    const replaced = {
      document: this.document,
      performance: { now: () => this.now - this.stoodStill },
      Date: { now: () => this.now },
      setTimeout: (run, delay) => this.#set(run, delay),
      clearTimeout: (timer) => (this.timers = this.timers.filter((one) => one !== timer)),
      addEventListener: this.window.addEventListener.bind(this.window),
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
  static made = [];
  state = 0;
  closed = [];

  constructor(url, protocols) {
    super();
    this.asked = String(new URL(url, "wss://example.org/")).replace(/^http/, "ws");
    this.protocols = protocols;
    FakeWebSocket.made.push(this);
  }

  get url() {
    return this.asked;
  }

  get readyState() {
    return this.state;
  }

  get nonce() {
    return /asgi-keepalive=(.*)$/.exec(this.asked)[1];
  }

  close(...why) {
    this.closed.push(why);
    this.state = 2;
  }

  // What a test lets happen.

  open() {
    this.state = 1;
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
    this.state = 3;
    this.dispatchEvent(new CloseEvent("close", { code, reason, wasClean }));
  }
}
