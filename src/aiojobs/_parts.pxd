from aiojobs._job_state cimport JobState


cdef class Starter:
    cpdef launch(self, JobState job)
    cpdef bint begins_at_once(self) except -1
    cpdef soon(self)
    cpdef fail_soon(self, JobState job, failure)
