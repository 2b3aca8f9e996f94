import cython
from aiojobs._core cimport Core
from aiojobs._following cimport Following
from aiojobs._job_state cimport JobState
from aiojobs._parts cimport Starter
from aiojobs._run cimport make_run

cdef object _ACTIVE, _FINISH, _RAISED, Task, coro_of_stock, link
cdef bint CALL_GRAPH, IS_COROUTINE


cdef class Launching(Starter):
    cdef Core _core
    cdef bint _is_at_it
    cdef public Following following

    @cython.locals(core=Core, following=Following)
    cpdef launch(self, JobState job)
    cdef _create(self, run, name, context)
    cdef _failure(self, JobState job, exc, coro, run, task)
    cdef _not_launched(self, JobState job, exc, coro, run, task)
    cdef _launch_late(self, JobState job)
    cpdef bint begins_at_once(self) except -1
    cpdef soon(self)
    cpdef fail_soon(self, JobState job, failure)
