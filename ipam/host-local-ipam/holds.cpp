#include "holds.h"

#include <fmt/format.h>

#include "base/digest.h"
#include "base/text.h"
#include "stamp.h"

namespace cni::host_local {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0755;
constexpr std::size_t kLongestHold = 65536;
constexpr const char* kSticky = "sticky";
constexpr const char* kHeld = "held";
constexpr std::string_view kEnd = "end";

std::string text(const Hold& hold) {
  std::string text = fmt::format("pod {}\ncontainer {}\nifname {}\n", hold.pod,
                                 hold.owner.container_id, hold.owner.ifname);
  for (const inet::Address& address : hold.addresses) {
    text += fmt::format("address {}\n", address.text());
  }
  if (hold.released) {
    text += fmt::format("released {} {}\n", hold.released->since_boot.count(), hold.released->boot);
  }
  return text + std::string(kEnd) + '\n';
}

bool read_line(Hold& hold, const std::string& line) {
  const std::size_t blank = line.find(' ');
  if (blank == std::string::npos) return false;
  const std::string key = line.substr(0, blank);
  const std::string value = line.substr(blank + 1);
  if (key == "pod") {
    hold.pod = value;
  } else if (key == "container") {
    hold.owner.container_id = value;
  } else if (key == "ifname") {
    hold.owner.ifname = value;
  } else if (key == "address") {
    const auto address = inet::Address::parse(value);
    if (!address) return false;
    hold.addresses.push_back(*address);
  } else if (key == "released") {
    const std::size_t end = value.find(' ');
    const auto count = parse_number<std::int64_t>(value.substr(0, end));
    if (!count || *count < 0 || end == std::string::npos) return false;
    hold.released = {.boot = value.substr(end + 1), .since_boot = std::chrono::nanoseconds(*count)};
  }
  return true;
}

// Nothing if it is no whole hold.
std::optional<Hold> parse_hold(const std::string& text) {
  const std::vector<std::string> lines = split(text, '\n');
  if (lines.size() < 2 || lines[lines.size() - 2] != kEnd || !lines.back().empty()) {
    return std::nullopt;
  }
  Hold hold;
  for (std::size_t at = 0; at + 2 < lines.size(); ++at) {
    if (!read_line(hold, lines[at])) return std::nullopt;
  }
  return hold;
}

}  // namespace

Holds::Holds(const state::DirectoryStore* own, std::string boot)
    : boot_(std::move(boot)),
      files_(own == nullptr ? std::nullopt : own->find_below(kSticky)),
      held_(own == nullptr ? std::nullopt : own->find_below(kHeld)) {}

std::string Holds::file_name(const std::string& pod, const std::string& ifname) {
  return sha512_hex(pod + '\n' + ifname, 40);
}

std::optional<Hold> Holds::read(const std::string& name) const {
  const state::Found found = files_->read(name, kLongestHold);
  if (found.kind != state::Kind::kFile || !found.complete) return std::nullopt;
  auto hold = parse_hold(found.content);
  if (!hold || file_name(hold->pod, hold->owner.ifname) != name) return std::nullopt;
  return hold;
}

std::optional<Hold> Holds::find(const std::string& pod, const std::string& ifname) const {
  if (!files_ || pod.empty()) return std::nullopt;
  return read(file_name(pod, ifname));
}

std::vector<Hold> Holds::all() const {
  std::vector<Hold> holds;
  if (!files_) return holds;
  for (const std::string& name : files_->names()) {
    if (auto hold = read(name)) holds.push_back(*std::move(hold));
  }
  return holds;
}

bool Holds::expired(const Hold& hold, std::chrono::nanoseconds ttl) const {
  if (!hold.released || hold.released->boot != boot_) return false;
  const auto now = since_boot();
  // A moment to come is garbage.
  return hold.released->since_boot > now || now - hold.released->since_boot >= ttl;
}

void Holds::put(const state::DirectoryStore& own, const Hold& hold) {
  if (!files_) files_ = own.ensure_below(kSticky, kDirectoryMode);
  if (const auto old = find(hold.pod, hold.owner.ifname)) {
    for (const inet::Address& address : old->addresses) held_.erase(address);
  }
  files_->replace(file_name(hold.pod, hold.owner.ifname), text(hold), kFileMode,
                  state::Durability::kReboot);
  for (const inet::Address& address : hold.addresses) {
    if (hold.released) {
      held_.insert(address);
    } else {
      held_.erase(address);
    }
  }
}

void Holds::drop(const Hold& hold) {
  if (files_) files_->delete_if_exists(file_name(hold.pod, hold.owner.ifname));
  for (const inet::Address& address : hold.addresses) held_.erase(address);
}

void Holds::recount() {
  held_.clear();
  for (const Hold& hold : all()) {
    if (!hold.released) continue;
    for (const inet::Address& address : hold.addresses) held_.insert(address);
  }
}

void Holds::save(const state::DirectoryStore& own) {
  held_.save(own, kHeld);
}

}  // namespace cni::host_local
