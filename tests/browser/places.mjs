/** Where a page's code runs without a browser: what each place has as `WebSocket`, and lacks. */

import process from "node:process";

export const places = {
  runtime() {},

  async undici() {
    const { WebSocket } = await import("undici");
    globalThis.WebSocket = WebSocket;
  },

  async ws() {
    const { WebSocket } = await import("ws");
    globalThis.WebSocket = WebSocket;
  },

  /** As code has it that takes one class from a window, and the rest from Node. */
  async jsdom() {
    const { JSDOM } = await import("jsdom");
    globalThis.WebSocket = new JSDOM().window.WebSocket;
  },

  async mockSocket() {
    const { Server, WebSocket } = await import("mock-socket");
    const { url } = JSON.parse(process.env.LIFE);
    globalThis.WebSocket = WebSocket;
    new Server(url.replace("http", "ws")).on("connection", (socket) => {
      socket.send(new URL(socket.url).search.slice(1));
      socket.on("message", (data) => {
        socket.send(data);
        socket.close({ code: 4001, reason: "bye", wasClean: true });
      });
    });
  },

  async interceptors() {
    const { WebSocketInterceptor } = await import("@mswjs/interceptors/WebSocket");
    const interceptor = new WebSocketInterceptor();
    interceptor.on("connection", () => {}); // without one it connects, though it was closed
    interceptor.apply();
  },

  async reactNative() {
    const { EventTarget } = await import("event-target-shim");
    const { WebSocket } = await import("ws");
    globalThis.WebSocket = reactNative(EventTarget, WebSocket);
    delete globalThis.CloseEvent;
    globalThis.URL = PoorURL;
    globalThis.Event = PlainEvent;
  },

  async reactNativeWithoutCrypto() {
    await places.reactNative();
    delete globalThis.crypto;
  },

  async reactNativeWithoutEvent() {
    await places.reactNative();
    delete globalThis.Event;
  },
};

/** Return a class that is like React Native's, around a connection that is not the platform's. */
function reactNative(EventTarget, Connection) {
  return class WebSocket extends EventTarget("close", "error", "message", "open") {
    readyState = 0;

    constructor(url, protocols) {
      super();
      this.url = url;
      this.connection = new Connection(url, protocols ?? []);
      this.connection.onopen = () => this.#fire("open", 1);
      this.connection.onmessage = ({ data }) => this.#fire("message", 1, { data });
      this.connection.onerror = ({ message }) => this.#fire("error", 3, { message });
      this.connection.onclose = ({ code, reason }) => this.#fire("close", 3, { code, reason });
    }

    send(data) {
      this.connection.send(data);
    }

    close(code, reason) {
      this.readyState = 2;
      this.connection.close(code, reason);
    }

    #fire(type, readyState, attributes) {
      this.readyState = readyState;
      this.dispatchEvent({ type, ...attributes });
    }
  };
}

/** An event that is enough for React Native's targets. */
class PlainEvent {
  constructor(type) {
    this.type = type;
  }
}

/** A URL like React Native's, which ends paths by a slash and lacks most parts. */
class PoorURL {
  constructor(url) {
    this.href = /[?#]|\/$/.test(url) ? url : `${url}/`;
  }

  get protocol() {
    throw Error("URL.protocol is not implemented");
  }

  get search() {
    throw Error("URL.search is not implemented");
  }
}
