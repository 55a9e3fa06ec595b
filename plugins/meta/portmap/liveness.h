// Whether an attachment that has ports is alive. Nothing is decided by time.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "holding.h"
#include "inet/address.h"
#include "netns/holders.h"
#include "protocol/request.h"

namespace cni::portmap {

// A view of the namespaces of this machine, as they are when it is first asked.
class Liveness {
 public:
  // `request` is alive itself, so what has its namespace or its address is not, if it is another
  // attachment.
  Liveness(const Request& request, const Config& config) : request_(request), config_(config) {}

  // Its path leads to its namespace, or that is held elsewhere and has its address.
  bool is_alive(const Holding& holding);

  // Of attachments that nothing is written down about: some namespace has the address.
  bool is_alive(const inet::Address& address);

 private:
  bool has_address(const std::string& netns_path, const inet::Address& address);
  const std::map<netns::NetnsId, std::string>& holders();

  const Request& request_;
  const Config& config_;
  std::optional<std::map<netns::NetnsId, std::string>> holders_;
  std::map<std::string, std::set<inet::Address>> addresses_;
};

}  // namespace cni::portmap
