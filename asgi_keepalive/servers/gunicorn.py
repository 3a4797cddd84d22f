"""gunicorn's own `asgi` worker, which drops Pongs; with uvicorn's workers the server is uvicorn."""

ADVICE = (
    "gunicorn's own asgi worker sends no Pings and drops Pongs. Run gunicorn with "
    "--worker-class uvicorn_worker.UvicornWorker, of the package uvicorn-worker"
)
