"""Steps in containers of their own, beside that of the driver, at the same time."""

import mlflow

with mlflow.start_run():
    steps = [
        mlflow.run(".", "step", backend="docker", parameters={"value": value}, synchronous=False)
        for value in (1, 2)
    ]
    assert all(step.wait() for step in steps)
    results = [mlflow.get_run(step.run_id).data.metrics["doubled"] for step in steps]
    mlflow.log_metric("result", sum(results))
