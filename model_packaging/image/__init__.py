"""The container image that serves and runs jobs on every platform.

Read in this order: `requirements` (what is pinned), `wheel` (the project itself), `context` (the folder that
a builder reads), `builder` (docker, podman or buildah), `registry` (logging in to Amazon ECR), `command`.
"""
