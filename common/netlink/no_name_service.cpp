// Name look-ups that libnl refers to and we never ask for: host names and protocol names as text.
//
// In a static executable glibc's own would bring the name service switch with them, which loads
// shared objects at run time and so needs a file system that fits. These find nothing.

#include <netdb.h>

extern "C" {

int getaddrinfo(const char* /*node*/, const char* /*service*/, const struct addrinfo* /*hints*/,
                struct addrinfo** /*found*/) {
  return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo* /*list*/) {}

int getnameinfo(const struct sockaddr* /*address*/, socklen_t /*length*/, char* /*host*/,
                socklen_t /*host_size*/, char* /*service*/, socklen_t /*service_size*/,
                int /*flags*/) {
  return EAI_FAIL;
}

struct protoent* getprotobyname(const char* /*name*/) {
  return nullptr;
}

struct protoent* getprotobynumber(int /*number*/) {
  return nullptr;
}

}  // extern "C"
