"""Labels for unlabelled images from a larger teacher model: knowledge distillation for small ones.

Takes a folder of images and an OpenAI-compatible endpoint; gives what `prepare` gives. Every image is asked
about several times (`client`, `asking`), answers are kept as they came (`answers_file`), boxes on which the
samplings agree become labels (`votes`, `agreement`, `labels`), and labels go through `prepare` itself.
"""
