"""The main job: from a request to a finished run folder."""
