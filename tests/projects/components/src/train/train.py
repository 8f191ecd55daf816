import json
import sys
from pathlib import Path

import mlflow

with open(sys.argv[1]) as file:
    depth = json.load(file)["depth"]
_, *rows = Path("../trainval.csv").read_text().split()
with mlflow.start_run():
    mlflow.log_metric("mean", sum(map(float, rows)) / len(rows))
    mlflow.log_dict({"depth": depth, "rows": len(rows)}, "model.json")
