"""A pipeline as many are written: a driver of hydra, steps in folders and in another repository."""

import json
import os

import hydra
import mlflow
from mlflow.tracking import MlflowClient
from omegaconf import DictConfig

STEPS = "download,basic_cleaning,data_check,features,data_split,train,test_model,report"


def already_ran(entry_point, parameters, commit):
    """As the example `multistep_workflow` of MLflow."""
    for run in MlflowClient().search_runs([mlflow.active_run().info.experiment_id]):
        tags = run.data.tags
        if (
            tags.get("mlflow.project.entryPoint") == entry_point
            and tags.get("mlflow.source.git.commit") == commit
            and run.info.status == "FINISHED"
            and all(run.data.params.get(key) == value for key, value in parameters.items())
        ):
            return run
    return None


@hydra.main(config_name="config", config_path=".", version_base="1.1")
def go(config: DictConfig):
    root = hydra.utils.get_original_cwd()
    os.environ["PIPELINE_GROUP"] = config.main.experiment_name
    named = STEPS if config.main.steps == "all" else config.main.steps
    components, version = config.main.components, config.main.version
    with mlflow.start_run() as active:
        commit = active.data.tags["mlflow.source.git.commit"]

        def run(uri, entry_point="main", parameters=None, **options):
            parameters = parameters or {}
            if entry_point != "main" and (found := already_ran(entry_point, parameters, commit)):
                print("cached", entry_point)
                return found.info.run_id
            return mlflow.run(uri, entry_point, parameters=parameters, **options).run_id

        made = {}
        for step in named.split(","):
            source = os.path.join(root, "src", step)
            if step == "download":
                made[step] = run(
                    f"{components}#components/get_data",
                    version=version,
                    env_manager="conda",
                    parameters={"rows": 4},
                )
            elif step == "basic_cleaning":
                raw = f"runs:/{made['download']}/raw.csv"
                made[step] = run(source, parameters={"raw": raw, "most": "30"})
            elif step == "data_check":
                run(source, "check", {"rows": "4"})
            elif step == "train":
                file = os.path.abspath("train.json")  # in the folder of hydra's job
                with open(file, "w") as opened:
                    json.dump({"depth": config.train.depth}, opened)
                made[step] = run(source, parameters={"config": file})
            elif step == "test_model":
                run(
                    f"{components}#components/test_model",
                    version=version,
                    env_manager="conda",
                    parameters={"model": f"runs:/{made['train']}/model.json"},
                )
            else:
                run(source, parameters={}, env_manager="conda")


if __name__ == "__main__":
    go()
