"""granian: written in Rust, it keeps Ping and Pong frames to itself."""

ADVICE = (
    "granian sends no Pings for applications and shows them no Pongs. Run the application on "
    "uvicorn, hypercorn, daphne or gunicorn"
)
