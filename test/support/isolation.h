// Namespaces of the test process itself.
#pragma once

namespace cni::test {

// Goes on in new mount, network and process namespaces (without root: user, mount and network) with
// private tmpfs on /run and /var/lib/cni, a /sys that shows the new network namespace
// where the kernel allows the mount, and the loopback interface up. Temporary files go to
// $TMPDIR = /run/tmp from then on and named network namespaces to /run/netns.
//
// In a process namespace it is a child that returns; the caller's process waits for it and ends
// with its status. Plugins look for namespaces below /proc: they are not to find those of other
// runs.
//
// Must run before any thread is started. Throws std::system_error.
void enter_private_namespaces();

}  // namespace cni::test
