import cython

from aiojobs._admission cimport Admission
from aiojobs._bound_loop cimport BoundLoop
from aiojobs._job_state cimport JobState, Owner, accept, fire, let_go, wake
from aiojobs._ownership cimport claim
from aiojobs._parts cimport Starter
from aiojobs._queue cimport Queue

cdef object _START, _QUEUE, _FULL, _NOTHING, _START_NEXT, _ADMIT, _PENDING, _GIVE_SLOT, _CLOSE, _FINISH
cdef object _RETURNED, _RAISED, _NEVER_STARTED, _CANCELLED, _TIMED_OUT
cdef object CoroutineType, Task, name_of_stock, foreign, copy_context, get_running_loop, unlink
cdef type Job
cdef bint CALL_GRAPH


cdef class Core(Owner):
    cdef public Admission admission
    cdef public object reporting
    cdef public dict slots
    cdef public Queue queue
    cdef public object waiting
    cdef public object places
    cdef public dict arriving
    cdef public dict terms
    cdef public Py_ssize_t endless
    cdef public bint is_special
    cdef public dict waiters
    cdef public Starter starter
    cdef public object tasks
    cdef public object line
    cdef public object clock
    cdef public object on_idle

    @cython.locals(job=JobState)
    cpdef enter(self, coro, name, context, bint may_block, terms=*)
    cdef _turn_away(self, JobState job, verdict, bint may_block)
    cdef _give_up(self, JobState job, failure)
    cpdef check_offer(self, coro, name, context)
    cdef _check_moment(self, coro)
    cpdef bind(self, loop)
    cpdef note_acceptance(self, JobState job, terms)
    cpdef part_with(self, JobState job)
    cpdef told(self)
    cpdef reconsider(self)
    cdef _tell_of_acceptance(self, JobState job, terms)
    cdef _tell_of_offer(self, JobState job)
    cdef _start_with_care(self, JobState job)
    @cython.locals(following=JobState, is_in_line=bint)
    cpdef ended(self, JobState job, event, outcome, result, bint received=*)
    cdef _launch_in_turn(self, JobState following, bint is_in_line)
    cpdef see_failure(self, JobState job)
    cpdef say_farewell(self, JobState job, held, gone)
    cpdef tell(self, JobState job, bint received=*)
    cpdef show_callers(self, act, JobState job, task)
    cpdef stop_pending(self, JobState job)
    cpdef bint runs(self, job, task) except -1
    cpdef ask_to_stop(self, job)
    cpdef bint see_end(self, job) except -1
    cpdef unreceived(self, job)
