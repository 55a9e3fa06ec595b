#include "support/snapshot.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <stdexcept>

#include "support/sandbox.h"
#include "support/two_namespaces.h"

namespace cni::test {
namespace {

using Json = nlohmann::json;
using Lines = std::vector<std::string>;
namespace fs = std::filesystem;

Lines lines_of(const std::string& text) {
  Lines lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

std::string output(const std::string& netns, std::vector<std::string> argv) {
  return run_checked({.argv = std::move(argv), .netns = netns});
}

// The output of an iproute2 tool; nothing printed means an empty list.
Json json_of(const std::string& netns, std::vector<std::string> argv) {
  const std::string text = output(netns, std::move(argv));
  Json parsed =
      text.find_first_not_of(" \n") == std::string::npos ? Json::array() : Json::parse(text);
  // iproute2 prints an empty object where a filter has hidden an entry.
  std::erase_if(parsed.get_ref<Json::array_t&>(), [](const Json& entry) { return entry.empty(); });
  return parsed;
}

bool is_volatile(const std::string& key) {
  static const std::set<std::string> kKeys = {
      "ifindex",
      "link_index",
      "link_netnsid",
      "operstate",
      // Bridges and their ports: the spanning tree at work, and times since.
      "state",
      "topology_change",
      "topology_change_detected",
      "root_id",
      "root_port",
      "root_path_cost",
      "designated_bridge",
      "designated_root",
      "designated_port",
      "designated_cost",
      "topology_change_ack",
      "config_pending",
      "multicast_query_use_ifaddr",
      // Addresses and routes.
      "valid_life_time",
      "preferred_life_time",
      "tentative",
      "expires",
      "cache",
      // Neighbours.
      "used",
      "confirmed",
      "updated",
      "probes",
  };
  return kKeys.contains(key) || key.ends_with("_timer");
}

void drop_volatile(Json& value) {
  if (value.is_array()) {
    for (Json& entry : value) drop_volatile(entry);
  }
  if (!value.is_object()) return;
  for (auto entry = value.begin(); entry != value.end();) {
    if (is_volatile(entry.key())) {
      entry = value.erase(entry);
      continue;
    }
    if (entry.key() == "flags" && entry->is_array()) {
      // Carrier is no setting; "linkdown" and "dead" are what it does to routes.
      Json kept = Json::array();
      for (const Json& flag : *entry) {
        static const std::set<std::string> kCarrier = {
            "LOWER_UP", "NO-CARRIER", "RUNNING", "M-DOWN", "DORMANT", "linkdown", "dead"};
        if (!kCarrier.contains(flag.get<std::string>())) kept.push_back(flag);
      }
      *entry = kept;
    }
    drop_volatile(*entry);
    ++entry;
  }
}

Lines sorted_lines(Json list) {
  drop_volatile(list);
  Lines lines;
  for (const Json& entry : list) lines.push_back(entry.dump());
  std::ranges::sort(lines);
  return lines;
}

Lines links(const std::string& netns) {
  Lines lines;
  Json list = json_of(netns, {"ip", "-d", "-j", "link", "show"});
  drop_volatile(list);
  // The name first, so that a difference reads well.
  for (const Json& link : list) {
    lines.push_back(link.at("ifname").get<std::string>() + " " + link.dump());
  }
  std::ranges::sort(lines);
  return lines;
}

Lines addresses(const std::string& netns) {
  Lines lines;
  Json list = json_of(netns, {"ip", "-j", "address", "show"});
  for (Json& link : list) {
    const auto infos = link.find("addr_info");
    if (infos == link.end()) continue;
    drop_volatile(*infos);
    for (const Json& address : *infos) {
      if (address.empty()) continue;
      lines.push_back(link.at("ifname").get<std::string>() + " " + address.dump());
    }
  }
  std::ranges::sort(lines);
  return lines;
}

Lines joined(Lines one, const Lines& other) {
  one.insert(one.end(), other.begin(), other.end());
  std::ranges::sort(one);
  return one;
}

Lines both_families(const std::string& netns, const std::vector<std::string>& command) {
  Lines lines;
  for (const char* family : {"-4", "-6"}) {
    std::vector<std::string> argv = {"ip", family, "-d", "-j"};
    argv.insert(argv.end(), command.begin(), command.end());
    for (const std::string& line : sorted_lines(json_of(netns, argv))) {
      lines.push_back(fmt::format("ipv{} {}", family + 1, line));
    }
  }
  return lines;
}

// Without what the kernel adds for each IPv6 address of its own, at some later time: the addresses
// say that already.
Lines routes(const std::string& netns) {
  Lines all = both_families(netns, {"route", "show", "table", "all"});
  std::erase_if(all, [](const std::string& line) {
    return line.starts_with("ipv6 ") && line.find(R"("protocol":"kernel")") != line.npos &&
           line.find(R"("table":"local")") != line.npos;
  });
  return all;
}

Lines qdiscs(const std::string& netns) {
  Json list = json_of(netns, {"tc", "-j", "qdisc", "show"});
  for (Json& qdisc : list) qdisc.erase("handle");  // numbered by the kernel unless chosen
  return sorted_lines(list);
}

// In the order of the rule set: there it has a meaning.
Lines nftables(const std::string& netns) {
  const Outcome outcome = run({.argv = {"nft", "--stateless", "list", "ruleset"}, .netns = netns});
  if (outcome.status != 0) return {"not to be had: " + outcome.err.substr(0, 80)};
  return lines_of(outcome.out);
}

// Only what exists already: asking for a table makes it (ip_tables registers it on first use).
Lines iptables(const std::string& netns) {
  Lines lines;
  for (const std::string prefix : {"ip", "ip6"}) {
    const Outcome names =
        run({.argv = {"cat", "/proc/net/" + prefix + "_tables_names"}, .netns = netns});
    for (const std::string& table : lines_of(names.out)) {
      const std::string rules = output(netns, {prefix + "tables-legacy-save", "-t", table});
      for (const std::string& line : lines_of(rules)) {
        if (line.starts_with('#')) continue;  // holds the time of day
        // ":CHAIN POLICY [packets:bytes]"
        const std::size_t end = line.starts_with(':') ? line.find(" [") : std::string::npos;
        lines.push_back(fmt::format("{}tables {} {}", prefix, table, line.substr(0, end)));
      }
    }
  }
  return lines;
}

std::string first_line_of(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  // Some have no value yet (stable_secret: EIO) or are for writing only (route/flush).
  return std::getline(file, line) ? line : "(none)";
}

// In the namespace of the calling thread: /proc/sys/net shows that of the reader.
Lines sysctls() {
  Lines lines;
  const fs::path root = "/proc/sys/net";
  const auto add = [&](const fs::path& file) {
    lines.push_back(file.lexically_relative(root).string() + " = " + first_line_of(file));
  };
  for (const char* tree : {"ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh", "bridge"}) {
    std::error_code absent;
    for (const auto& entry : fs::recursive_directory_iterator(root / tree, absent)) {
      if (entry.is_regular_file()) add(entry.path());
    }
  }
  for (const char* tree : {"ipv4", "ipv6"}) {
    std::error_code absent;
    for (const auto& entry : fs::directory_iterator(root / tree, absent)) {
      // A secret, made up by the kernel at first use.
      if (entry.is_regular_file() && entry.path().filename() != "tcp_fastopen_key") {
        add(entry.path());
      }
    }
  }
  std::ranges::sort(lines);
  return lines;
}

// FNV-1a (64 bits): enough to see that a content has changed.
std::uint64_t digest(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char byte : text) hash = (hash ^ static_cast<std::uint8_t>(byte)) * 0x100000001b3U;
  return hash;
}

std::string file_line(const fs::path& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return path.string() + " absent";
  const auto line = [&](const char* type, const std::string& rest) {
    return fmt::format("{} {} {:04o} {}:{} {}", path.string(), type, status.st_mode & 07777U,
                       status.st_uid, status.st_gid, rest);
  };
  if (S_ISREG(status.st_mode)) {
    return line("file",
                fmt::format("{} bytes, {:016x}", status.st_size, digest(read_whole_file(path))));
  }
  if (S_ISLNK(status.st_mode)) return line("link", "to " + fs::read_symlink(path).string());
  if (S_ISDIR(status.st_mode)) return line("directory", "");
  return line(S_ISFIFO(status.st_mode)   ? "fifo"
              : S_ISSOCK(status.st_mode) ? "socket"
                                         : "device",
              "");
}

Lines files(const std::vector<std::string>& directories) {
  Lines lines;
  for (const std::string& directory : directories) {
    lines.push_back(file_line(directory));
    std::error_code absent;
    for (const auto& entry : fs::recursive_directory_iterator(directory, absent)) {
      lines.push_back(file_line(entry.path()));
    }
  }
  std::ranges::sort(lines);
  return lines;
}

}  // namespace

Snapshot Snapshot::take(const std::string& netns, const std::vector<std::string>& directories) {
  Snapshot snapshot;
  auto& sections = snapshot.sections_;
  sections["links"] = links(netns);
  sections["addresses"] = addresses(netns);
  sections["routes"] = routes(netns);
  sections["rules"] = both_families(netns, {"rule", "show"});
  sections["neighbours"] = joined(both_families(netns, {"neigh", "show", "nud", "permanent"}),
                                  both_families(netns, {"neigh", "show", "proxy"}));
  sections["qdiscs"] = qdiscs(netns);
  sections["bridge vlans"] = sorted_lines(json_of(netns, {"bridge", "-j", "vlan", "show"}));
  sections["nftables"] = nftables(netns);
  sections["iptables"] = iptables(netns);
  in_namespace(netns, [&] { sections["sysctls"] = sysctls(); });
  sections["files"] = files(directories);
  return snapshot;
}

std::string Snapshot::text() const {
  std::string text;
  for (const auto& [name, lines] : sections_) {
    text += name + ":\n";
    for (const std::string& line : lines) text += "  " + line + "\n";
  }
  return text;
}

std::string difference(const Snapshot& before, const Snapshot& after) {
  std::string text;
  for (const auto& [name, old_lines] : before.sections()) {
    const Lines& new_lines = after.sections().at(name);
    if (old_lines == new_lines) continue;
    text += "\n" + name + ":\n";
    // As multisets: a line that is there twice is not the same as once.
    std::multiset<std::string> gone(old_lines.begin(), old_lines.end());
    std::multiset<std::string> came;
    for (const std::string& line : new_lines) {
      if (const auto same = gone.find(line); same != gone.end()) {
        gone.erase(same);
      } else {
        came.insert(line);
      }
    }
    for (const std::string& line : gone) text += "- " + line + "\n";
    for (const std::string& line : came) text += "+ " + line + "\n";
    if (gone.empty() && came.empty()) {
      text += "(the same lines in another order)\n";
      for (const std::string& line : new_lines) text += "  " + line + "\n";
    }
  }
  return text;
}

}  // namespace cni::test
