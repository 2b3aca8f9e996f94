from aiojobs._probe cimport is_untouched

cdef object CoroutineType
cdef dict _names

cpdef claim(coro)
