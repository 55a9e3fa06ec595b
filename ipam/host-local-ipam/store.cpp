#include "store.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "protocol/environment.h"

namespace cni::host_local {
namespace {

constexpr mode_t kDirectoryMode = 0755;
constexpr mode_t kFileMode = 0600;
// A container ID may be long; no content of ours or the Go suite's is longer than this.
constexpr std::size_t kLongestContent = 16384;
constexpr std::size_t kLongestIfname = 15;  // IFNAMSIZ of linux/if.h, with its NUL

bool may_be_ifname(std::string_view name) {
  return !name.empty() && name.size() <= kLongestIfname && std::ranges::all_of(name, [](char byte) {
    return static_cast<unsigned char>(byte) > ' ' && byte != '/' && byte != 0x7f;
  });
}

// Only the text that an address has counts as its name.
std::optional<inet::Address> parse_file_name(const std::string& name) {
  const auto address = inet::Address::parse(name);
  return address && address->text() == name ? address : std::nullopt;
}

std::string lock_path(const std::string& directory) {
  return directory + "/lock";
}

std::string pointer_name(std::size_t set_id) {
  return fmt::format("last_reserved_ip.{}", set_id);
}

}  // namespace

std::string text(const Owner& owner) {
  if (owner.ifname.empty()) return owner.container_id;
  return owner.container_id + "\r\n" + owner.ifname;
}

std::optional<Owner> parse_owner(std::string_view content) {
  const std::string_view text = trim(content);
  const std::size_t break_at = text.find("\r\n");
  Owner owner{.container_id = std::string(text.substr(0, break_at))};
  if (!is_valid_identifier(owner.container_id)) return std::nullopt;
  if (break_at == std::string_view::npos) return owner;
  owner.ifname = text.substr(break_at + 2);
  if (!may_be_ifname(owner.ifname)) return std::nullopt;
  return owner;
}

Store Store::ensure(const std::string& path) {
  state::DirectoryStore directory = state::DirectoryStore::ensure(path, kDirectoryMode);
  return {std::move(directory), state::FileLock::acquire(lock_path(path))};
}

std::optional<Store> Store::find_for_writing(const std::string& path) {
  auto directory = state::DirectoryStore::find(path);
  if (!directory) return std::nullopt;
  return Store(*std::move(directory), state::FileLock::acquire(lock_path(path)));
}

std::optional<Store> Store::find_for_reading(const std::string& path) {
  auto directory = state::DirectoryStore::find(path);
  if (!directory) return std::nullopt;
  return Store(*std::move(directory), state::FileLock::find(lock_path(path)));
}

Store::Entry Store::look_up(const inet::Address& address) const {
  const state::Found found = directory_.read(address.text(), kLongestContent);
  switch (found.kind) {
    case state::Kind::kAbsent:
      return {.use = Use::kFree};
    case state::Kind::kForeign:
      return {.use = Use::kForeign};
    case state::Kind::kFile:
      break;
  }
  auto owner = found.complete ? parse_owner(found.content) : std::nullopt;
  if (!owner) return {.use = Use::kTorn};
  return {.use = Use::kReserved, .owner = *std::move(owner)};
}

Store::Contents Store::read_all() const {
  Contents contents;
  for (const std::string& name : directory_.names()) {
    const auto address = parse_file_name(name);
    if (!address) continue;
    Entry entry = look_up(*address);
    switch (entry.use) {
      case Use::kFree:
        break;
      case Use::kTorn:
        contents.torn.push_back(*address);
        break;
      case Use::kForeign:
        contents.foreign.push_back(*address);
        break;
      case Use::kReserved:
        contents.reservations.push_back({.address = *address, .owner = std::move(entry.owner)});
        break;
    }
  }
  return contents;
}

bool Store::reserve(const inet::Address& address, const Owner& owner) const {
  if (directory_.create(address.text(), text(owner), kFileMode)) return true;
  if (look_up(address).use != Use::kTorn) return false;
  directory_.replace(address.text(), text(owner), kFileMode);
  return true;
}

bool Store::release(const inet::Address& address, const Owner& owner) const {
  const Entry entry = look_up(address);
  if (entry.use != Use::kReserved || entry.owner != owner) return false;
  return directory_.delete_if_exists(address.text());
}

void Store::delete_torn(const inet::Address& address) const {
  if (look_up(address).use == Use::kTorn) directory_.delete_if_exists(address.text());
}

std::optional<inet::Address> Store::find_last_reserved(std::size_t set_id) const {
  // No address is that long.
  const state::Found found = directory_.read(pointer_name(set_id), 64);
  if (found.kind != state::Kind::kFile || !found.complete) return std::nullopt;
  return inet::Address::parse(found.content);
}

void Store::set_last_reserved(std::size_t set_id, const inet::Address& address) const {
  try {
    // In place, as the Go suite does: to make a file here would be seen as a change of the
    // reservations (index.h), and half an address is an address or none.
    directory_.overwrite(pointer_name(set_id), address.text(), kFileMode);
  } catch (const IoError& error) {
    log::warning("{}, ignoring: the search for free addresses may start elsewhere", error.what());
  }
}

}  // namespace cni::host_local
