"""The supervisor: a small process that finishes runs whose client is gone.

Watches all containers of one user on one engine over one stream of events, without MLflow, and
starts finishers, which have MLflow and end when idle.
"""
