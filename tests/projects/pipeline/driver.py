"""A driver whose steps have an environment of their own; each function is what a test needs."""

import json
import os
import sys
import time

import mlflow


def chain():
    """Hands a file to a step by its absolute path, and reads one that the step has left."""
    with open("handed.txt", "w") as file:
        file.write("by the driver")
    os.environ["GROUP"] = "of the driver"
    with mlflow.start_run():
        step = mlflow.run(
            "steps/look", parameters={"file": os.path.abspath("handed.txt"), "number": "007"}
        )
        with open("steps/look/left.json") as file:
            seen = json.load(file)
        mlflow.log_dict(seen, "seen.json")
        assert step.run_id == seen["run_id"]
        mlflow.run(".", "echo")


def side_by_side():
    steps = [
        mlflow.run("steps/look", "wait", parameters={"number": each}, synchronous=False)
        for each in range(2)
    ]
    # Each waits for the file of the other.
    assert [step.wait() for step in steps] == [True, True]


def fail():
    mlflow.run("steps/look", "fail")


def go_on():
    mlflow.run("steps/look", "go_on", synchronous=False)
    print("the step was started", flush=True)
    time.sleep(600)


def again():
    """Dies in its first attempt, with a step that goes on."""
    if os.path.exists("was-here"):
        mlflow.run("steps/look", "tell")
        return
    open("was-here", "w").close()
    mlflow.run("steps/look", "go_on", synchronous=False)
    os._exit(1)


def leave():
    """Ends before its step does: on a user's machine, too, MLflow waits then."""
    mlflow.run("steps/look", "wait_for_file", synchronous=False)


def deep():
    mlflow.run("steps/deep")


def download():
    with mlflow.start_run() as run:
        mlflow.log_text("of the driver", "texts/text.txt")
    mlflow.run("steps/download", parameters={"text": f"runs:/{run.info.run_id}/texts/text.txt"})


def elsewhere():
    mlflow.run(os.environ["STEP_ADDRESS"], "tell", version=os.environ["STEP_VERSION"])


if __name__ == "__main__":
    globals()[sys.argv[1]]()
