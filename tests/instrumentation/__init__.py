"""Real packages that stand between the middleware and its server."""
