"""From the files that users have to samples.jsonl: readers, preparation, download, synthetic scenes.

Takes data sets on disk or on a hub, gives the files of `paddle_ground.records`. Knows no model.
"""
