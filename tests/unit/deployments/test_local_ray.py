from deployments.local_ray import failure_message

TRACEBACK = """\
Failed to update the deployments ['ClipScorer'].
The deployment failed to start 3 times in a row. Error:
ray::ServeReplica:pictwarden:ClipScorer.initialize_and_get_metadata() (pid=1)
  File "replica.py", line 1, in initialize
    raise RuntimeError
  File "load.py", line 170, in _hub_recipe
    raise ModelError(
serve_app.domain.ModelError: model X could not be downloaded: wanted Y
from its hub. Set model.source to a folder
"""


def test_our_own_error_is_told_without_its_traceback():
    told = failure_message(TRACEBACK + "\n" + TRACEBACK)
    assert told == "model X could not be downloaded: wanted Y\nfrom its hub. Set model.source to a folder"


def test_what_is_not_ours_is_told_whole():
    assert failure_message("out of GPUs") == "out of GPUs"
