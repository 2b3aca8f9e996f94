import cython
from aiojobs._core cimport Core
from aiojobs._job_state cimport JobState

cdef object _ACTIVE, _RAISED, tell


@cython.final
cdef class Following:
    cdef readonly Core core
    cdef readonly object _to_gate
    cdef public dict jobs
    cdef public bint begins_at_once

    cpdef follow(self, JobState job, task, run)
    cpdef bint entered(self, JobState job) except -1
    cpdef finished(self, JobState job, event, outcome, result)
    cpdef stop(self, JobState job)
