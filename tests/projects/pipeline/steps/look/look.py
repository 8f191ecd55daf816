import json
import os
import sys

try:
    import mlflow
except ImportError:
    mlflow = None
with open(sys.argv[1]) as file:
    text = file.read()
seen = {
    "text": text,
    "number": sys.argv[2],
    "group": os.environ.get("GROUP"),
    "folder": os.getcwd(),
    "run_id": os.environ["MLFLOW_RUN_ID"],
    "host": os.uname().nodename,
    "has_mlflow": mlflow is not None,
}
with open("left.json", "w") as file:
    json.dump(seen, file)
print("the step has looked")
