// Deleting a link takes as long as the kernel needs to free it (base/grace_period.h), though it is
// gone from its namespace after a millisecond, and so is the other end of a veth.
#pragma once

#include "netlink/netlink_socket.h"

namespace cni::netlink {

// As delete_link_if_exists(), in the namespace of this thread, in which `socket` is too. Returns
// when there is no such link any more; the kernel may still be about to free it.
void delete_link_promptly(Socket& socket, int index);

}  // namespace cni::netlink
