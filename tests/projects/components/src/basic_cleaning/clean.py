import sys

import mlflow

with open(sys.argv[1]) as file:
    header, *rows = file.read().split()
kept = [row for row in rows if float(row) <= float(sys.argv[2])]
with mlflow.start_run():
    mlflow.log_metric("rows", len(kept))
with open("../clean.csv", "w") as file:
    file.write("\n".join([header, *kept]))
