// Main of the kernel and plugin tests: goes into namespaces of its own first, so that nothing the
// tests do can be seen on the machine, and everything is gone when the process ends.
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>

#include "support/isolation.h"
#include "support/needs.h"
#include "support/session.h"

int main(int argc, char** argv) {
  try {
    cni::test::enter_private_namespaces();
  } catch (const std::exception& error) {
    // A failure and not a skip: a machine where this is forbidden tests nothing at all.
    std::cerr << "cannot enter private namespaces: " << error.what() << '\n';
    return EXIT_FAILURE;
  }
  return cni::test::run_session(argc, argv, cni::test::find_lacks);
}
