"""The names of the tags on runs in MLflow. Recorded runs carry them, so the names must not change."""

RUN_HASH_TAG = "captioner.run_hash"
PARENT_HASH_TAG = "captioner.of_run"  # on a child run: the run hash of its parent
PARENT_RUN_TAG = "mlflow.parentRunId"
DECODING_TAG = "captioner.decoding"  # the hash of the section ``decode`` of params.yaml
COMMIT_TAG = "mlflow.source.git.commit"
PATCH_TAG = "captioner.patch"  # the hash of patch.diff; missing if nothing was uncommitted
DIRTY_TAG = "captioner.dirty"
REPRODUCE_TAG = "captioner.reproduce"  # the command that rebuilds the run
ENVIRONMENT_TAG = "captioner.environment"
DEVICE_TAG = "captioner.device"
TRAIN_SECONDS_TAG = "captioner.train_seconds"  # missing if the training was logged afterwards
OUTPUT_HASH_PREFIX = "hash."  # followed by the name of an output
