"""The model server: one ASGI application that answers every platform's contract.

Read in this order: `limits` (what is configurable), `media` (bytes to rows and predictions to bytes),
`rows` (rows checked against the package's signature), `service` (readiness and bounded prediction),
`contracts/` (one small module per platform's routes), `app`, `server` (the process), `command`.
"""
