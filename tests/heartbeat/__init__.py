"""The heartbeat's rules, one by one, and then against arbitrary events."""
