"""The supervisor: a small process that finishes runs whose client is gone.

It watches all containers of one user on one engine by one stream of events, without MLflow. It
starts finishers: processes that write the ends of runs, and end when idle.
"""
