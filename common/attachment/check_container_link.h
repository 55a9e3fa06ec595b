// CHECK: compares what the previous result says of the container with the kernel.
#pragma once

#include <string>
#include <vector>

#include "netlink/link.h"
#include "netlink/netlink_socket.h"
#include "netns/netns.h"
#include "protocol/request.h"
#include "protocol/result.h"

namespace cni::attachment {

// Gathers every difference, so that one error names them all.
class Differences {
 public:
  void add(std::string sentence) { sentences_.push_back(std::move(sentence)); }
  bool empty() const { return sentences_.empty(); }

  // Throws Error 999 with all of them, if there are any.
  void finish() const;

 private:
  std::vector<std::string> sentences_;
};

// The entry of the container's interface: CNI_IFNAME, in the namespace of the request, which may
// have been reached by another path. Throws Error 999 if there is none.
const Interface& get_container_interface(const Request& request, const Result& previous);

// Whether an address of `previous` is that of the container's interface. One without an interface
// index can only be meant for that.
bool is_on_interface(const IpConfig& ip, const Interface& interface, const Result& previous);

// The link is there, is of `kind`, is up, and has the MAC and MTU that `expected` names. Returns
// the link if it is there.
std::optional<netlink::Link> check_link(netlink::Socket& socket, const Interface& expected,
                                        const std::string& kind, Differences& differences);

// An interface of the host in the previous result, by its name.
const Interface* find_host_interface(const Result& previous, const std::string& name);

// The host's end of the veth pair whose other end is `container`, compared with what the previous
// result says of it. Nothing if there is none or it is not listed: then `missing` is the
// difference.
std::optional<netlink::Link> check_host_end(netlink::Socket& host, const netlink::Link& container,
                                            const Result& previous, const std::string& missing,
                                            Differences& differences);

// Every address of `previous` on the interface `expected` is on `link`, and every route is in the
// table it names, else in any. Others may have been added.
void check_addresses_and_routes(netlink::Socket& container, const netlink::Link& link,
                                const Interface& expected, const Result& previous,
                                Differences& differences);

}  // namespace cni::attachment
