"""OpenVINO on a CPU: models converted for it, with what they were compared by, and the engine that runs them.

A converted model needs neither torch nor open_clip. Whatever makes one does, and is imported only then.
"""
