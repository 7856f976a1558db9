"""What a training run will take, before a GPU is paid for: memory by part, steps, hours, and a verdict.

`verdict.make_plan` takes a checked training YAML and a `Machine`; gives a `Plan`. It starts nothing and
loads neither paddle nor weights.
"""
