cdef object _OPEN, _START, _QUEUE, _NOTHING, _START_NEXT


cdef class Admission:
    cdef public object limit
    cdef public object pending_limit
    cdef public object phase
    cdef public Py_ssize_t running
    cdef public Py_ssize_t surplus
    cdef public Py_ssize_t pending
    cdef public Py_ssize_t blocked

    cpdef offer(self, bint may_block)
    cpdef bint would_block(self)
    cpdef set_limit(self, limit)
    cpdef resume(self)
    cpdef ended(self)
    cpdef withdrawn(self)
    cpdef give_up(self)
    cpdef shutdown(self)
    cpdef settle(self)
    cpdef move(self, event)
    cpdef list violations(self)
