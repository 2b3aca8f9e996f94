cdef class Node:
    cdef public Node before
    cdef public Node after


cdef class Queue(Node):
    cpdef list clear(self)
    cpdef join(self, Node node)
    cpdef leave(self, Node node)
    cpdef Node pop(self)
