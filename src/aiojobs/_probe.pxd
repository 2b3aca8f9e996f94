cpdef bint is_untouched(coro) except -1
