"""The configuration as a whole: the schema of ``params.yaml``, and its composition from ``conf/``."""
