// Host ports and where they lead.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inet/address.h"
#include "inet/network.h"

namespace cni::portmap {

// IPPROTO_*, linux/in.h
enum class Protocol : std::uint8_t { kTcp = 6, kUdp = 17, kSctp = 132 };

// "tcp", "udp" or "sctp".
std::string name(Protocol protocol);
// In any letter case.
std::optional<Protocol> find_protocol(std::string_view text);

// Who may use a mapping: sources that are in `denied` may not, nor those that are not in `allowed`
// if that is limited. Of both families.
struct Sources {
  bool limited = false;  // `allowed` counts, also if it is empty
  std::vector<inet::Network> allowed = {};
  std::vector<inet::Network> denied = {};

  bool unlimited() const { return !limited && denied.empty(); }

  friend bool operator==(const Sources&, const Sources&) = default;
};

// Those whom both let in.
Sources both(const Sources& one, const Sources& other);

// One element of `portMappings`: `count` consecutive ports, each to its own.
struct Mapping {
  Protocol protocol;
  std::uint16_t host_port;
  std::uint16_t container_port;
  std::uint32_t count = 1;
  // Nothing: any address of the host, of both families. An unspecified address: any of its family.
  std::optional<inet::Address> host_ip = std::nullopt;
  Sources sources = {};

  bool concerns(inet::Family family) const { return !host_ip || host_ip->family() == family; }
};

// Consecutive ports of one family, on which the same holds for all.
struct Run {
  Protocol protocol;
  std::optional<inet::Address> host_ip = std::nullopt;  // nothing: any
  std::uint16_t host_port;
  std::uint16_t container_port;
  std::uint32_t count = 1;
  // Its place in the list of gates of the attachment; nothing if there is none to pass.
  std::optional<std::size_t> gate = std::nullopt;

  std::uint16_t last_port() const { return static_cast<std::uint16_t>(host_port + count - 1); }
  // Host and container have the same port numbers.
  bool is_straight() const { return host_port == container_port; }
  // "8080/tcp", "8080-8090/udp on 192.0.2.1"
  std::string text() const;

  friend bool operator==(const Run&, const Run&) = default;
};

// Joins neighbours; of several runs for a port and address the first one counts. Ascending by
// protocol, address and port.
std::vector<Run> coalesce(const std::vector<Run>& runs);

// Whether both would serve one port: the addresses are equal, or one is any.
bool collide(const Run& one, const Run& other);

// Finds collisions with a fixed set of runs quickly.
class PortIndex {
 public:
  explicit PortIndex(const std::vector<Run>& runs);

  // Nothing, or the part of `run` that collides (one run per stretch of ports).
  std::vector<Run> colliding(const Run& run) const;

 private:
  // Runs by protocol, in the order of their first port, and the longest of them.
  struct Group {
    std::vector<Run> runs;
    std::uint32_t longest = 0;
  };
  Group& group(Protocol protocol);
  const Group& group(Protocol protocol) const;
  Group groups_[3];
};

// What is left of `runs` without the ports of `taken` (equal protocol and address).
std::vector<Run> without(const std::vector<Run>& runs, const std::vector<Run>& taken);

}  // namespace cni::portmap
