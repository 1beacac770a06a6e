"""One folder for each platform, with the same module names in each.

`bucket`, `endpoint`, `alarms` and `retraining` each offer two functions:

- `check(args, where) -> list[str]` says what this platform can't do with these arguments, before any resource is made;
- `provision(component, name, args)` makes the resources as children of `component`, their names beginning with
  `name`, and returns the outputs of `modelberth.outputs`.
"""
