"""Train and evaluate, each in a container of its own: `python pipeline.py`."""

from __future__ import annotations

from pathlib import Path

import mlflow
import mlflow.projects

PROJECT = str(Path(__file__).resolve().parent)


def main() -> None:
    """Chain the two steps; both show as children of one run."""
    mlflow.set_experiment("Salary Model")
    with mlflow.start_run(run_name="pipeline") as parent:
        train = mlflow.projects.run(PROJECT, backend="docker", parameters={"n_jobs_param": 2})
        evaluate = mlflow.projects.run(
            PROJECT, "evaluate", backend="docker", parameters={"run_id": train.run_id}
        )
    metrics = mlflow.get_run(evaluate.run_id).data.metrics
    print(f"pipeline {parent.info.run_id}: trained {train.run_id}, evaluated {evaluate.run_id}")
    print(f"r2 {metrics['r2']:.3f}; plot: runs:/{evaluate.run_id}/predicted_vs_actual.png")


if __name__ == "__main__":
    main()
