#include "snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "kernel.h"
#include "netfilter.h"
#include "netns.h"

namespace conformance {
namespace {

namespace fs = std::filesystem;

bool is_base(const std::string& link) {
  return link.starts_with(kBaseLink);
}

void add_links(const std::string& where, Snapshot& lines) {
  std::map<int, std::string> names;
  for (const kernel::Link& link : kernel::links()) names[link.index] = link.name;
  for (const kernel::Link& link : kernel::links()) {
    if (is_base(link.name)) continue;
    // The MAC of a bridge may follow its ports.
    lines.insert(fmt::format("{} link {} {} {} mtu {} {} of '{}'", where, link.name, link.kind,
                             link.up ? "up" : "down", link.mtu,
                             link.kind == "bridge" ? "" : link.mac, names[link.master]));
  }
  for (const kernel::Address& address : kernel::addresses()) {
    // The kernel gives lo its addresses when it is up, and leaves them there.
    if (address.link_local || names[address.link] == "lo" || is_base(names[address.link])) continue;
    lines.insert(fmt::format("{} address {} {}", where, names[address.link], address.text));
  }
  for (const kernel::Route& route : kernel::routes()) {
    if (is_base(names[route.link])) continue;
    lines.insert(fmt::format("{} route {} via '{}' dev {} table {} metric {}", where,
                             route.destination, route.gateway, names[route.link], route.table,
                             route.priority));
  }
}

void add_sysctls(const std::string& where, Snapshot& lines) {
  const auto add = [&](const std::string& path) {
    std::string value;
    std::ifstream(path) >> value;
    lines.insert(fmt::format("{} {} = {}", where, path, value));
  };
  add("/proc/sys/net/ipv4/ip_forward");
  add("/proc/sys/net/ipv6/conf/all/forwarding");
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc/sys/net/ipv4/conf", ignored)) {
    if (!is_base(entry.path().filename())) add(entry.path() / "route_localnet");
  }
}

void add_namespace(const std::string& where, Snapshot& lines) {
  add_links(where, lines);
  add_sysctls(where, lines);
  for (const std::string& rule : netfilter::rules()) lines.insert(where + " " + rule);
}

bool is_hint(const std::string& name) {
  return name.starts_with(".") || name.starts_with("last_reserved_ip") || name.ends_with("lock");
}

void add_files(const std::string& directory, Snapshot& lines) {
  auto walk = fs::recursive_directory_iterator(directory, fs::directory_options::none);
  for (auto entry = fs::begin(walk); entry != fs::end(walk); ++entry) {
    const std::string path = entry->path();
    const bool ours = path == kWorkDirectory || path == "/run/netns";
    if (ours || is_hint(entry->path().filename())) {
      if (entry->is_directory()) entry.disable_recursion_pending();
      continue;
    }
    if (!entry->is_regular_file()) continue;
    std::ifstream file(path);
    const std::string content{std::istreambuf_iterator<char>(file), {}};
    lines.insert(fmt::format("file {} {:?}", path, content));
  }
}

}  // namespace

Snapshot take_snapshot_of(const std::string& netns) {
  Snapshot lines;
  in_netns(netns, [&] { add_namespace(fs::path(netns).filename(), lines); });
  return lines;
}

Snapshot take_snapshot() {
  Snapshot lines;
  add_namespace("host", lines);
  for (const auto& entry : fs::directory_iterator("/run/netns")) {
    lines.merge(take_snapshot_of(entry.path()));
  }
  add_files("/run", lines);
  add_files("/var/lib/cni", lines);
  return lines;
}

std::string difference(const Snapshot& before, const Snapshot& after) {
  Snapshot gone, come;
  std::ranges::set_difference(before, after, std::inserter(gone, gone.end()));
  std::ranges::set_difference(after, before, std::inserter(come, come.end()));
  std::string text;
  std::size_t shown = 0;
  const auto add = [&](char sign, const Snapshot& lines) {
    for (const std::string& line : lines) {
      if (++shown <= 3) text += fmt::format("{}{} {}", text.empty() ? "" : "; ", sign, line);
    }
  };
  add('-', gone);
  add('+', come);
  if (shown > 3) text += fmt::format("; and {} more", shown - 3);
  return text;
}

}  // namespace conformance
