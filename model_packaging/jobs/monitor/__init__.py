"""The monitor job: captured traffic against what the model saw in training."""
