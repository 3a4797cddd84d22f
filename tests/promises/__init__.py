"""The promises, on each real server and event loop, by plain sockets."""
