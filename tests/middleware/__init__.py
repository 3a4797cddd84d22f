"""`KeepaliveMiddleware` among applications, frameworks, and others of its kind."""
