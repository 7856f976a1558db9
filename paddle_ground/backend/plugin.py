"""What a YAML's `custom_register_path` names: PaddleFormers executes it before parsing its arguments."""

from paddle_ground.backend.register import register

register()
