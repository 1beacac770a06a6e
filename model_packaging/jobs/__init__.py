"""The jobs: train, validate, gate, publish and monitor, the same program on every platform.

Their files stand where SageMaker puts them, below `/opt/ml` or the folder that SAGEMAKER_BASE_DIR
names; `layout` knows where. A job that fails says why in the file that the platform shows its users.
"""
