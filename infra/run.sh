#!/bin/sh
# What the Lambda Web Adapter starts in the stream function: the managed runtime's Python, with what both bring.
export PYTHONPATH="${LAMBDA_TASK_ROOT}:${LAMBDA_RUNTIME_DIR}"
exec python3 -m uvicorn handler.stream:app --host 127.0.0.1 --port "${AWS_LWA_PORT:-8080}" --lifespan off --log-level warning --no-access-log
