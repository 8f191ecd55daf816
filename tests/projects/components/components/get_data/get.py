import os
import sys

import mlflow

assert os.environ["PIPELINE_GROUP"] == "prices"
with mlflow.start_run():
    mlflow.log_text(
        "price\n" + "\n".join(str(10 * row) for row in range(int(sys.argv[1]) + 1)), "raw.csv"
    )
