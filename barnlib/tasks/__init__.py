"""The tasks: one module each, all of the same form (task.py), listed once (registry.py)."""
