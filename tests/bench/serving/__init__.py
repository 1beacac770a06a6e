"""The model server beside others: the same model, machine and load."""
