"""What holds for every test: no test fails because the machine is slow."""

from hypothesis import settings

settings.register_profile("on-a-shared-machine", deadline=None)
settings.load_profile("on-a-shared-machine")
