/**
 * A `WebSocket` that notices when its server has fallen silent: it then fires `close` with code
 * 1006, `wasClean` false and the reason `keepalive timeout`. With a server that does not have
 * asgi-keepalive it is a plain `WebSocket`.
 */
export declare class KeepaliveWebSocket extends WebSocket {
  /**
   * Seconds from the server's last Ping to its Pong, as the server measured it; `null` before the
   * first. An event `latency` says that it may have changed.
   */
  readonly latency: number | null;
}
