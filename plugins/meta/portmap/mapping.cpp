#include "mapping.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/text.h"

namespace cni::portmap {
namespace {

// One port of a run.
Run single(const Run& run, std::uint32_t offset) {
  Run port = run;
  port.host_port = static_cast<std::uint16_t>(run.host_port + offset);
  port.container_port = static_cast<std::uint16_t>(run.container_port + offset);
  port.count = 1;
  return port;
}

auto place(const Run& run) {
  return std::tuple(run.protocol, run.host_ip, run.host_port);
}

bool continues(const Run& run, const Run& next) {
  return run.protocol == next.protocol && run.host_ip == next.host_ip && run.gate == next.gate &&
         run.host_port + run.count == next.host_port &&
         run.container_port + run.count == next.container_port;
}

void append(std::vector<Run>& runs, const Run& next) {
  if (!runs.empty() && continues(runs.back(), next)) {
    runs.back().count += next.count;
  } else {
    runs.push_back(next);
  }
}

std::vector<inet::Network> intersection(const std::vector<inet::Network>& some,
                                        const std::vector<inet::Network>& others) {
  std::vector<inet::Network> common;
  for (const inet::Network& one : some) {
    for (const inet::Network& other : others) {
      if (one.family() != other.family() || !one.overlaps(other)) continue;
      common.push_back(one.prefix_length >= other.prefix_length ? one : other);
    }
  }
  return common;
}

}  // namespace

std::string name(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTcp:
      return "tcp";
    case Protocol::kUdp:
      return "udp";
    case Protocol::kSctp:
      return "sctp";
  }
  return {};
}

std::optional<Protocol> find_protocol(std::string_view text) {
  for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp, Protocol::kSctp}) {
    if (equal_ignoring_case(text, name(protocol))) return protocol;
  }
  return std::nullopt;
}

Sources both(const Sources& one, const Sources& other) {
  Sources sources = one;
  if (other.limited) {
    sources.allowed = one.limited ? intersection(one.allowed, other.allowed) : other.allowed;
    sources.limited = true;
  }
  sources.denied.insert(sources.denied.end(), other.denied.begin(), other.denied.end());
  return sources;
}

std::string Run::text() const {
  std::string text = fmt::format("{}", host_port);
  if (count > 1) text += fmt::format("-{}", last_port());
  text += "/" + name(protocol);
  if (host_ip) text += " on " + host_ip->text();
  return text;
}

std::vector<Run> coalesce(const std::vector<Run>& runs) {
  struct Port {
    Run run;
    std::size_t rank;  // of those for one place, the first comes first
  };
  std::vector<Port> ports;
  for (const Run& run : runs) {
    for (std::uint32_t offset = 0; offset < run.count; ++offset) {
      ports.push_back({single(run, offset), ports.size()});
    }
  }
  std::ranges::sort(ports, {},
                    [](const Port& port) { return std::pair(place(port.run), port.rank); });
  std::vector<Run> joined;
  const Run* previous = nullptr;
  for (const Port& port : ports) {
    if (previous == nullptr || place(*previous) != place(port.run)) append(joined, port.run);
    previous = &port.run;
  }
  return joined;
}

bool collide(const Run& one, const Run& other) {
  return one.protocol == other.protocol &&
         (!one.host_ip || !other.host_ip || one.host_ip == other.host_ip) &&
         one.host_port <= other.last_port() && other.host_port <= one.last_port();
}

PortIndex::PortIndex(const std::vector<Run>& runs) {
  for (const Run& run : runs) {
    Group& mine = group(run.protocol);
    mine.runs.push_back(run);
    mine.longest = std::max(mine.longest, run.count);
  }
  for (Group& mine : groups_) std::ranges::sort(mine.runs, {}, &Run::host_port);
}

PortIndex::Group& PortIndex::group(Protocol protocol) {
  return groups_[protocol == Protocol::kTcp ? 0 : protocol == Protocol::kUdp ? 1 : 2];
}

const PortIndex::Group& PortIndex::group(Protocol protocol) const {
  return groups_[protocol == Protocol::kTcp ? 0 : protocol == Protocol::kUdp ? 1 : 2];
}

std::vector<Run> PortIndex::colliding(const Run& run) const {
  const Group& mine = group(run.protocol);
  // No run that begins further in front reaches as far as `run`.
  const std::uint32_t reach = mine.longest == 0 ? 0 : mine.longest - 1;
  const auto first = static_cast<std::uint16_t>(run.host_port > reach ? run.host_port - reach : 0);
  std::set<std::uint32_t> offsets;
  for (auto at = std::ranges::lower_bound(mine.runs, first, {}, &Run::host_port);
       at != mine.runs.end() && at->host_port <= run.last_port(); ++at) {
    if (!collide(run, *at)) continue;
    const unsigned from = std::max(run.host_port, at->host_port);
    const unsigned to = std::min(run.last_port(), at->last_port());
    for (unsigned port = from; port <= to; ++port) offsets.insert(port - run.host_port);
  }
  std::vector<Run> parts;
  for (const std::uint32_t offset : offsets) append(parts, single(run, offset));
  return parts;
}

std::vector<Run> without(const std::vector<Run>& runs, const std::vector<Run>& taken) {
  std::set<decltype(place(std::declval<Run>()))> places;
  for (const Run& run : taken) {
    for (std::uint32_t offset = 0; offset < run.count; ++offset) {
      places.insert(place(single(run, offset)));
    }
  }
  if (places.empty()) return runs;
  std::vector<Run> left;
  for (const Run& run : runs) {
    for (std::uint32_t offset = 0; offset < run.count; ++offset) {
      const Run port = single(run, offset);
      if (!places.contains(place(port))) append(left, port);
    }
  }
  return left;
}

}  // namespace cni::portmap
