"""The usual form of a multistep workflow: steps are runs, started by a run."""

import mlflow

with mlflow.start_run():
    first = mlflow.run(".", "step", parameters={"value": 3})
    result = mlflow.get_run(first.run_id).data.metrics["doubled"]
    second = mlflow.run(".", "step", parameters={"value": int(result)}, synchronous=False)
    assert second.wait()
    mlflow.log_metric("result", mlflow.get_run(second.run_id).data.metrics["doubled"])
