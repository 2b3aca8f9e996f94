"""Which build of the library the tests run on, and what of one of them can't be asked of the other."""

import pytest

import aiojobs

IS_COMPILED = aiojobs.__build__ == "compiled"

replaces_what_is_compiled = pytest.mark.skipif(
    IS_COMPILED, reason="puts something else in the place of what is fixed in the compiled build"
)

reads_frames_from_outside = pytest.mark.skipif(
    IS_COMPILED, reason="another process sees no further than the object in C that the task of a job drives"
)
