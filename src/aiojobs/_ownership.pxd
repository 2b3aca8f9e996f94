from aiojobs._probe cimport is_untouched

cdef object CoroutineType

cpdef claim(coro)
