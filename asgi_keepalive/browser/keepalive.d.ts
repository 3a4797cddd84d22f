/** An event of a `KeepaliveWebSocket`, which is its target. */
export interface KeepaliveEvent extends Event {
  readonly currentTarget: KeepaliveWebSocket | null;
  readonly target: KeepaliveWebSocket;
}

export interface KeepaliveWebSocketEventMap extends WebSocketEventMap {
  /** A heartbeat has come, and `latency` may have changed. */
  latency: KeepaliveEvent;
  /** A message is overdue by a quarter of the timeout. */
  late: KeepaliveEvent;
  /** A message has come after `late`. */
  recovered: KeepaliveEvent;
}

type Handler = ((this: KeepaliveWebSocket, event: KeepaliveEvent) => unknown) | null;

/**
 * A `WebSocket` that notices when its server has fallen silent. It then fires `error` and `close`
 * with code 1006, `wasClean` false and the reason `keepalive timeout`. With a server that does not
 * have asgi-keepalive it is a plain `WebSocket`, but for `connectTimeout`.
 *
 * Its constructor throws an `Error` where it could not work:
 * - The `WebSocket` that is there when the module is imported is missing, is no `EventTarget`, does
 *   not take `Event`, or cannot be extended.
 * - There is no `crypto`.
 * - `connectTimeout` is neither above 0 nor `null`.
 * - The URL is relative, and nothing says to what.
 */
export declare class KeepaliveWebSocket extends WebSocket {
  /**
   * Seconds that connecting may take. Then `error` and `close` are fired, with code 1006 and the
   * reason `connect timeout`. `null` if it may take as long as it likes. A subclass may have another.
   */
  static connectTimeout: number | null;

  /**
   * Seconds from the server's last Ping to its Pong, as the server measured it; `null` before the
   * first. An event `latency` says that it may have changed.
   */
  readonly latency: number | null;

  /**
   * Seconds to wait before the next connection, as the server said that has planned to end this
   * one; `null` as long as it has said none. It can be read after `close`, too.
   */
  readonly reconnectAfter: number | null;

  /** `"late"` from the event `late` to `recovered`; `null` while the connection is not open. */
  readonly health: "open" | "late" | null;

  onlatency: Handler;
  onlate: Handler;
  onrecovered: Handler;

  addEventListener<K extends keyof KeepaliveWebSocketEventMap>(
    type: K,
    listener: (this: KeepaliveWebSocket, event: KeepaliveWebSocketEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof KeepaliveWebSocketEventMap>(
    type: K,
    listener: (this: KeepaliveWebSocket, event: KeepaliveWebSocketEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | EventListenerOptions,
  ): void;
}
