// Has nothing of its own: see cni_headers in Targets.cmake.
