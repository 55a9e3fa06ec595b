#include "netfilter/choose_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "netfilter/xtables_view.h"
#include "nftables/nftables_socket.h"

namespace cni::netfilter {
namespace {

using inet::Family;
using inet::kFamilies;

// --- what is there

bool has_legacy() {
  return std::ranges::any_of(
      kFamilies, [](Family family) { return xtables::find_legacy_tables(family).has_value(); });
}

bool is_legacy_in_use() {
  return std::ranges::any_of(kFamilies, [](Family family) {
    const auto tables = xtables::find_legacy_tables(family);
    return tables && !tables->empty();
  });
}

// Both stores as they are at this moment.
class Host {
 public:
  Host()
      : nf_tables_(nftables::Socket::find()),
        has_legacy_(netfilter::has_legacy()),
        dialect_(nf_tables_ ? &*nf_tables_ : nullptr) {}

  DialectView& dialect() { return dialect_; }
  LegacyView& legacy() { return legacy_; }
  bool has_legacy() const { return has_legacy_; }

  // Whether nf_tables can be used for IPv4: a kernel may have it for bridges only. That is asked by
  // a transaction that is refused in any case, which takes the kernel milliseconds; so only where
  // there is another choice, and no other sign.
  bool has_native() {
    if (!nf_tables_) return false;
    if (!has_legacy_ || dialect_.has_ip4_tables()) return true;
    const nftables::TableId table = {.family = nftables::Family::kIp4,
                                     .name = "cni-plumb-question"};
    nftables::Batch batch;
    batch.ensure_table({.id = table});
    batch.delete_chain(table, "missing");
    return nf_tables_->try_commit(batch, "ask whether nf_tables is there for IPv4",
                                  {ENOENT, EOPNOTSUPP, EAFNOSUPPORT}) == ENOENT;
  }

  // Whether the rules of iptables-nft can be kept.
  bool has_dialect() {
    return has_native() && nf_tables_->supports_xt_match(nftables::Family::kIp4, "comment", 0);
  }

 private:
  std::optional<nftables::Socket> nf_tables_;
  bool has_legacy_;
  DialectView dialect_;
  LegacyView legacy_;
};

// --- the program iptables

// Without memory the next program that is found may keep its rules elsewhere.
void require_memory(const std::error_code& error) {
  if (error == std::errc::not_enough_memory) throw std::bad_alloc();
}

std::optional<std::filesystem::path> find_iptables() {
  std::vector<std::string> directories;
  if (const char* path = std::getenv("PATH"); path != nullptr) directories = split(path, ':');
  directories.emplace_back("/usr/sbin");
  directories.emplace_back("/sbin");
  for (const std::string& directory : directories) {
    if (!directory.starts_with('/')) continue;
    const std::filesystem::path file = std::filesystem::path(directory) / "iptables";
    std::error_code error;
    const bool is_file = std::filesystem::is_regular_file(file, error);
    require_memory(error);
    if (!is_file || ::access(file.c_str(), X_OK) != 0) continue;
    std::filesystem::path real = std::filesystem::canonical(file, error);
    require_memory(error);
    if (!error) return real;
  }
  return std::nullopt;
}

// What the file behind the links is called, and says by that. Of a script it says nothing.
std::optional<StoreChoice> flavour_by_name(const std::string& name) {
  if (name.find("nft") != std::string::npos) return StoreChoice::kDialect;
  if (name.find("legacy") != std::string::npos || name == "xtables-multi" ||
      name == "iptables-multi") {
    return StoreChoice::kLegacy;
  }
  return std::nullopt;
}

std::optional<StoreChoice> flavour_of_program(Host& host) {
  const auto file = find_iptables();
  if (!file) return std::nullopt;
  if (const auto flavour = flavour_by_name(file->filename())) return flavour;
  return host.dialect().is_in_use() || !is_legacy_in_use() ? StoreChoice::kDialect
                                                           : StoreChoice::kLegacy;
}

// --- the choice

// The only one of the two for which something holds.
std::optional<StoreChoice> one_of(bool dialect, bool legacy) {
  if (dialect == legacy) return std::nullopt;
  return dialect ? StoreChoice::kDialect : StoreChoice::kLegacy;
}

constexpr const char* kNativeNeeds = "nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_IPV4)";
constexpr const char* kDialectNeeds =
    "nf_tables with nft_compat and xt_comment (CONFIG_NF_TABLES_IPV4, CONFIG_NFT_COMPAT, "
    "CONFIG_NETFILTER_XT_MATCH_COMMENT)";
constexpr const char* kLegacyNeeds = "ip_tables (CONFIG_IP_NF_IPTABLES_LEGACY)";

[[noreturn]] void refuse(const std::string& attempt, const std::string& needs) {
  throw SystemError(EOPNOTSUPP, fmt::format("{}, which needs {} in the kernel", attempt, needs));
}

StoreChoice choose_automatically(Host& host, const std::optional<std::string>& mark_chain) {
  if (mark_chain && host.dialect().has_chain("nat", *mark_chain)) return StoreChoice::kDialect;
  if (mark_chain && host.legacy().has_chain("nat", *mark_chain)) return StoreChoice::kLegacy;
  // As long as there is one, a node can go back to the reference suite and lose nothing.
  if (host.dialect().has_attachments()) return StoreChoice::kDialect;
  if (host.legacy().has_attachments()) return StoreChoice::kLegacy;
  if (host.has_native()) return StoreChoice::kNative;
  if (host.has_legacy()) return StoreChoice::kLegacy;
  refuse("keep rules", fmt::format("{} or {}", kNativeNeeds, kLegacyNeeds));
}

// The store of the host's iptables, whether that works or not.
StoreChoice find_flavour(Host& host, const std::optional<std::string>& mark_chain) {
  const auto with_mark_chain = one_of(mark_chain && host.dialect().has_chain("nat", *mark_chain),
                                      mark_chain && host.legacy().has_chain("nat", *mark_chain));
  if (with_mark_chain) return *with_mark_chain;
  const bool in_dialect = host.dialect().has_attachments();
  const bool in_legacy = host.legacy().has_attachments();
  if (const auto used = one_of(in_dialect, in_legacy)) return *used;
  if (!in_dialect) {
    if (host.dialect().has_hint()) return StoreChoice::kDialect;
    if (host.legacy().has_hint()) return StoreChoice::kLegacy;
  }
  if (const auto flavour = flavour_of_program(host)) return *flavour;
  if (in_dialect || host.has_dialect()) return StoreChoice::kDialect;
  if (host.has_legacy()) return StoreChoice::kLegacy;
  refuse("keep rules as iptables does", fmt::format("{} or {}", kDialectNeeds, kLegacyNeeds));
}

StoreChoice choose_flavour(Host& host, const std::optional<std::string>& mark_chain) {
  const StoreChoice flavour = find_flavour(host, mark_chain);
  if (flavour == StoreChoice::kDialect && !host.has_dialect()) {
    refuse("keep rules as the host's iptables-nft does", kDialectNeeds);
  }
  if (flavour == StoreChoice::kLegacy && !host.has_legacy()) {
    refuse("keep rules as the host's iptables-legacy does", kLegacyNeeds);
  }
  return flavour;
}

}  // namespace

StoreChoice choose_store(Backend backend, const std::optional<std::string>& mark_chain) {
  if (backend == Backend::kNftables) {
    if (!nftables::Socket::find()) refuse("keep rules in tables of our own", kNativeNeeds);
    return StoreChoice::kNative;
  }
  Host host;
  return backend == Backend::kAuto ? choose_automatically(host, mark_chain)
                                   : choose_flavour(host, mark_chain);
}

void require_access(StoreChoice choice) {
  if (choice == StoreChoice::kLegacy) xtables::require_legacy_access();
}

std::vector<std::unique_ptr<xtables::Store>> existing_xtables_stores() {
  std::vector<std::unique_ptr<xtables::Store>> result;
  if (nftables::Socket::find()) result.push_back(xtables::open_dialect());
  if (has_legacy()) result.push_back(xtables::open_legacy());
  return result;
}

std::unique_ptr<xtables::Store> open_xtables_store(StoreChoice choice) {
  switch (choice) {
    case StoreChoice::kDialect:
      return xtables::open_dialect();
    case StoreChoice::kLegacy:
      return xtables::open_legacy();
    case StoreChoice::kNative:
      break;
  }
  throw std::invalid_argument("tables of our own are no store of xtables rules");
}

}  // namespace cni::netfilter
