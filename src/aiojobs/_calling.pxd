cdef class BoundLoop:
    cdef public object owner
    cdef public object loop
    cdef public bint is_debugged
    cdef public bint creates_elsewhere

    cpdef check(self)
    cpdef bind(self, loop)
    cpdef bint has_task_factory(self)
    cpdef now(self)
