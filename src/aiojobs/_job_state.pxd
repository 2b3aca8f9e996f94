from aiojobs._bound_loop cimport BoundLoop
from aiojobs._queue cimport Node

cdef object INITIAL, _RAISED, _TIMED_OUT, CoroutineType
cdef dict TRANSITIONS


cdef class Owner:
    cdef public BoundLoop bound
    cdef public object close_within
    cdef public object untold
    cdef public dict callbacks

    cpdef bint runs(self, job, task) except -1
    cpdef ask_to_stop(self, job)
    cpdef bint see_end(self, job) except -1
    cpdef unreceived(self, job)


# No method is declared: the table of those that are would take eight bytes of every job.
cdef class JobState(Node):
    cdef public object current
    cdef public object ending
    cdef public object kept
    cdef public object coro
    cdef public object task
    cdef public object context
    cdef public Owner owner
    cdef public object given_name
    cdef public dict waiters
    cdef object __weakref__


cpdef accept(JobState job, coro, Owner owner, name, context)
cpdef bint fire(JobState job, event) except -1
cpdef let_go(JobState job, outcome, result)
cpdef wake(JobState job, loop, bint received)
