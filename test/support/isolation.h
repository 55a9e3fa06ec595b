// Namespaces of the test process itself.
#pragma once

namespace cni::test {

// Moves the process into new mount and network namespaces (and a user namespace, if it is not
// root) with private tmpfs on /run and /var/lib/cni, a /sys that shows the new network namespace
// where the kernel allows the mount, and the loopback interface up. Temporary files go to
// $TMPDIR = /run/tmp from then on and named network namespaces to /run/netns.
//
// Must run before any thread is started. Throws std::system_error.
void enter_private_namespaces();

}  // namespace cni::test
