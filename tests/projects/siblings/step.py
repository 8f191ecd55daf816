import socket
import sys

import mlflow

with mlflow.start_run():
    mlflow.set_tag("host", socket.gethostname())
    mlflow.log_metric("doubled", 2 * int(sys.argv[1]))
