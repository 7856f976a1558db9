"""A page in the browser: boxes in pictures, conversations, and a look at samples, before the server's engine.

Takes a model's service and a folder of samples; gives a web application. Does not know: training, metrics.
Importing it costs nothing; Gradio comes with `paddle_ground.web.page`'s first page.
"""
