// The tables of iptables-legacy, through libiptc: a table is read whole, changed in memory, and
// replaced whole.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <libiptc/libiptc.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "state/file_lock.h"
#include "xtables/extension.h"
#include "xtables/table.h"

// Unlike its sister this header does not say that its functions are C. What it includes is there
// already.
extern "C" {
#include <libiptc/libip6tc.h>
}

namespace cni::xtables {
namespace {

constexpr const char* kLockFile = "/run/xtables.lock";
constexpr mode_t kLockMode = 0600;

// Longer ones do not fit into a target (XT_EXTENSION_MAXNAMELEN with its NUL).
constexpr std::size_t kLongestChain = 28;

// Somebody who does not take the lock may commit first, but hardly this often.
constexpr int kTries = 100;
// EINVAL says that as well, where the kernel notices late; or that a rule is wrong.
constexpr int kTriesWhenInvalid = 3;

// What differs between the families, by the same names.
struct Ip4 {
  using Entry = ipt_entry;
  static constexpr inet::Family kFamily = inet::Family::kIpv4;
  static constexpr const char* kTool = "iptables-legacy";
  static constexpr const char* kKernelPart = "ip_tables (CONFIG_IP_NF_IPTABLES_LEGACY)";
  static constexpr const char* kTableModule = "iptable_";
  static constexpr const char* kNames = "/proc/thread-self/net/ip_tables_names";
  static constexpr auto init = iptc_init;
  static constexpr auto free = iptc_free;
  static constexpr auto is_chain = iptc_is_chain;
  static constexpr auto first_chain = iptc_first_chain;
  static constexpr auto next_chain = iptc_next_chain;
  static constexpr auto first_rule = iptc_first_rule;
  static constexpr auto next_rule = iptc_next_rule;
  static constexpr auto get_target = iptc_get_target;
  static constexpr auto builtin = iptc_builtin;
  static constexpr auto get_policy = iptc_get_policy;
  static constexpr auto insert_entry = iptc_insert_entry;
  static constexpr auto append_entry = iptc_append_entry;
  static constexpr auto delete_num_entry = iptc_delete_num_entry;
  static constexpr auto flush_entries = iptc_flush_entries;
  static constexpr auto create_chain = iptc_create_chain;
  static constexpr auto delete_chain = iptc_delete_chain;
  static constexpr auto commit = iptc_commit;

  static auto& header(auto& entry) { return entry.ip; }
  static std::uint8_t flags_for(std::uint8_t /*protocol*/) { return 0; }
  static bool has_type_of_service(const Entry& /*entry*/) { return false; }
};

struct Ip6 {
  using Entry = ip6t_entry;
  static constexpr inet::Family kFamily = inet::Family::kIpv6;
  static constexpr const char* kTool = "ip6tables-legacy";
  static constexpr const char* kKernelPart = "ip6_tables (CONFIG_IP6_NF_IPTABLES_LEGACY)";
  static constexpr const char* kTableModule = "ip6table_";
  static constexpr const char* kNames = "/proc/thread-self/net/ip6_tables_names";
  static constexpr auto init = ip6tc_init;
  static constexpr auto free = ip6tc_free;
  static constexpr auto is_chain = ip6tc_is_chain;
  static constexpr auto first_chain = ip6tc_first_chain;
  static constexpr auto next_chain = ip6tc_next_chain;
  static constexpr auto first_rule = ip6tc_first_rule;
  static constexpr auto next_rule = ip6tc_next_rule;
  static constexpr auto get_target = ip6tc_get_target;
  static constexpr auto builtin = ip6tc_builtin;
  static constexpr auto get_policy = ip6tc_get_policy;
  static constexpr auto insert_entry = ip6tc_insert_entry;
  static constexpr auto append_entry = ip6tc_append_entry;
  static constexpr auto delete_num_entry = ip6tc_delete_num_entry;
  static constexpr auto flush_entries = ip6tc_flush_entries;
  static constexpr auto create_chain = ip6tc_create_chain;
  static constexpr auto delete_chain = ip6tc_delete_chain;
  static constexpr auto commit = ip6tc_commit;

  static auto& header(auto& entry) { return entry.ipv6; }
  // Without the flag the protocol is there to be listed, but the rule matches no packet.
  static std::uint8_t flags_for(std::uint8_t protocol) { return protocol == 0 ? 0 : IP6T_F_PROTO; }
  static bool has_type_of_service(const Entry& entry) { return entry.ipv6.tos != 0; }
};

// The same numbers in both families: linux/netfilter_ipv4/ip_tables.h, ip6_tables.h.
constexpr std::uint8_t kInvertIn = IPT_INV_VIA_IN;
constexpr std::uint8_t kInvertOut = IPT_INV_VIA_OUT;
constexpr std::uint8_t kInvertSource = IPT_INV_SRCIP;
constexpr std::uint8_t kInvertDestination = IPT_INV_DSTIP;
static_assert(IP6T_INV_VIA_IN == kInvertIn && IP6T_INV_VIA_OUT == kInvertOut &&
              IP6T_INV_SRCIP == kInvertSource && IP6T_INV_DSTIP == kInvertDestination);

// libiptc reads a name of a chain as an array of 32 bytes.
class ChainLabel {
 public:
  explicit ChainLabel(const std::string& name) {
    name.copy(bytes_.data(), bytes_.size() - 1);
    fits_ = name.size() < bytes_.size();
  }
  // Whether a chain can have the name at all.
  explicit operator bool() const { return fits_; }
  const char* get() const { return bytes_.data(); }

 private:
  std::array<char, sizeof(xt_chainlabel)> bytes_{};
  bool fits_;
};

// --- writing a rule

template <typename AddressBytes>
AddressBytes to_kernel(const inet::Address& address) {
  AddressBytes result{};
  std::memcpy(&result, address.bytes().data(), sizeof result);
  return result;
}

inet::Address mask_of(const inet::Network& network) {
  const inet::Network all_ones = {
      .address = inet::Address::from_bits(network.family(), ~inet::Bits{0}),
      .prefix_length = network.prefix_length};
  return all_ones.first();
}

template <typename AddressBytes>
void put_address(const std::optional<AddressMatch>& match, AddressBytes& address,
                 AddressBytes& mask, std::uint8_t& inversions, std::uint8_t inversion) {
  if (!match) return;
  address = to_kernel<AddressBytes>(match->network.first());
  mask = to_kernel<AddressBytes>(mask_of(match->network));
  if (match->inverted) inversions |= inversion;
}

void put_interface(const std::optional<InterfaceMatch>& match, std::span<char> name,
                   std::span<unsigned char> mask, std::uint8_t& inversions,
                   std::uint8_t inversion) {
  if (!match) return;
  const std::string& wanted = match->name;
  std::ranges::copy(wanted, name.begin());
  // With the final NUL; of "eth+" only what all names begin with.
  const std::size_t compared = wanted.ends_with('+') ? wanted.size() - 1 : wanted.size() + 1;
  std::ranges::fill(mask.first(compared), 0xff);
  if (match->inverted) inversions |= inversion;
}

// xt_entry_match and xt_entry_target have one layout: size, name and revision, then the struct of
// the extension. `extension.info` is padded already.
template <typename Piece>
void append_piece(std::vector<std::byte>& entry, const Extension& extension) {
  Piece piece{};
  extension.name.copy(piece.u.user.name, extension.name.size());
  piece.u.user.revision = extension.revision;
  const std::size_t size = sizeof piece + extension.info.size();
  if constexpr (std::is_same_v<Piece, xt_entry_match>) {
    piece.u.match_size = static_cast<std::uint16_t>(size);
  } else {
    piece.u.target_size = static_cast<std::uint16_t>(size);
  }
  const std::size_t begin = entry.size();
  entry.resize(begin + size);
  std::memcpy(&entry[begin], &piece, sizeof piece);
  std::ranges::copy(extension.info,
                    entry.begin() + static_cast<std::ptrdiff_t>(begin + sizeof piece));
}

// libiptc makes verdicts out of the names of its own targets and of chains.
Extension verdict_by_name(const Target& target) {
  const auto name = [&]() -> std::string {
    if (std::holds_alternative<Accept>(target)) return IPTC_LABEL_ACCEPT;
    if (std::holds_alternative<Drop>(target)) return IPTC_LABEL_DROP;
    if (std::holds_alternative<Return>(target)) return IPTC_LABEL_RETURN;
    return std::get<Jump>(target).chain;
  };
  constexpr std::size_t kSize = sizeof(xt_standard_target) - sizeof(xt_entry_target);
  return {.name = name(), .info = std::vector<std::byte>(kSize)};
}

// A rule as the kernel takes it.
struct EncodedRule {
  std::vector<std::byte> bytes;
  // What the kernel has to have for it.
  std::vector<std::string> extensions;
};

template <typename Ip>
EncodedRule encode(const Rule& rule) {
  typename Ip::Entry entry{};
  auto& header = Ip::header(entry);
  std::uint8_t inversions = 0;
  put_address(rule.source, header.src, header.smsk, inversions, kInvertSource);
  put_address(rule.destination, header.dst, header.dmsk, inversions, kInvertDestination);
  put_interface(rule.in, header.iniface, header.iniface_mask, inversions, kInvertIn);
  put_interface(rule.out, header.outiface, header.outiface_mask, inversions, kInvertOut);
  header.proto = rule.protocol;
  header.flags = Ip::flags_for(rule.protocol);
  header.invflags = inversions;

  EncodedRule result{.bytes = std::vector<std::byte>(sizeof entry), .extensions = {}};
  for (const Extension& match : encode_matches(rule)) {
    append_piece<xt_entry_match>(result.bytes, match);
    result.extensions.push_back(match.name);
  }
  entry.target_offset = static_cast<std::uint16_t>(result.bytes.size());
  if (const auto target = encode_target(Ip::kFamily, rule.target)) {
    append_piece<xt_entry_target>(result.bytes, *target);
    result.extensions.push_back(target->name);
  } else {
    append_piece<xt_entry_target>(result.bytes, verdict_by_name(rule.target));
  }
  entry.next_offset = static_cast<std::uint16_t>(result.bytes.size());
  std::memcpy(result.bytes.data(), &entry, sizeof entry);
  return result;
}

// --- reading a rule

// The length of the prefix that `mask` stands for; nothing if it is no prefix.
std::optional<int> prefix_length(const inet::Address& mask) {
  for (int length = 0; length <= mask.width(); ++length) {
    if (mask_of({.address = mask, .prefix_length = length}) == mask) return length;
  }
  return std::nullopt;
}

// False if the model has no words for it.
template <typename Ip, typename AddressBytes>
bool read_address(const AddressBytes& address_bytes, const AddressBytes& mask_bytes, bool inverted,
                  std::optional<AddressMatch>& match) {
  const auto address = inet::Address::from_bytes(Ip::kFamily, &address_bytes);
  const auto length = prefix_length(inet::Address::from_bytes(Ip::kFamily, &mask_bytes));
  if (!length) return false;
  const inet::Network network = {.address = address, .prefix_length = *length};
  // With host bits it is equal to no packet's.
  if (network.masked() != network) return false;
  if (*length > 0 || inverted) match = AddressMatch{.network = network, .inverted = inverted};
  return true;
}

bool read_interface(std::span<const char> name_bytes, std::span<const unsigned char> mask,
                    bool inverted, std::optional<InterfaceMatch>& match) {
  const auto compared = static_cast<std::size_t>(
      std::ranges::find(mask, static_cast<unsigned char>(0)) - mask.begin());
  // The mask is that of a beginning.
  for (std::size_t at = 0; at < mask.size(); ++at) {
    if (mask[at] != (at < compared ? 0xff : 0)) return false;
  }
  const auto length = static_cast<std::size_t>(std::ranges::find(name_bytes.first(compared), '\0') -
                                               name_bytes.begin());
  std::string name(name_bytes.data(), length);
  if (length == compared) {
    if (compared == 0 && !inverted) return true;  // any
    name += '+';
  } else if (length + 1 != compared) {
    return false;
  }
  match = InterfaceMatch{.name = name, .inverted = inverted};
  return true;
}

template <typename Ip>
bool read_header(const typename Ip::Entry& entry, Rule& rule) {
  const auto& header = Ip::header(entry);
  constexpr std::uint8_t kKnownInversions =
      kInvertIn | kInvertOut | kInvertSource | kInvertDestination;
  if ((header.invflags & ~kKnownInversions) != 0 || header.proto > 0xff) return false;
  rule.protocol = static_cast<std::uint8_t>(header.proto);
  // -f, -g, TOS; and a protocol that is not compared.
  if (header.flags != Ip::flags_for(rule.protocol) || Ip::has_type_of_service(entry)) return false;
  const auto inverted = [&](std::uint8_t inversion) { return (header.invflags & inversion) != 0; };
  return read_address<Ip>(header.src, header.smsk, inverted(kInvertSource), rule.source) &&
         read_address<Ip>(header.dst, header.dmsk, inverted(kInvertDestination),
                          rule.destination) &&
         read_interface(header.iniface, header.iniface_mask, inverted(kInvertIn), rule.in) &&
         read_interface(header.outiface, header.outiface_mask, inverted(kInvertOut), rule.out);
}

// The struct of an extension behind its header.
template <typename Piece>
std::span<const std::byte> info_of(const Piece* piece, std::size_t size) {
  const auto* begin = reinterpret_cast<const std::byte*>(piece);
  return std::span(begin, size).subspan(sizeof *piece);
}

template <typename Piece>
std::string name_of(const Piece* piece) {
  return {piece->u.user.name, ::strnlen(piece->u.user.name, sizeof piece->u.user.name)};
}

template <typename Ip>
bool read_matches(const typename Ip::Entry& entry, Rule& rule) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&entry);
  bool understood = true;
  for (std::size_t at = sizeof entry; at < entry.target_offset;) {
    const auto* match = reinterpret_cast<const xt_entry_match*>(bytes + at);
    understood = decode_match(name_of(match), match->u.user.revision,
                              info_of(match, match->u.match_size), rule) &&
                 understood;
    at += match->u.match_size;
  }
  return understood;
}

std::optional<Target> read_verdict(const std::string& label) {
  if (label == IPTC_LABEL_ACCEPT) return Accept{};
  if (label == IPTC_LABEL_DROP) return Drop{};
  if (label == IPTC_LABEL_RETURN) return Return{};
  return std::nullopt;
}

// --- a table

template <typename Ip>
class LegacyTable final : public Table {
 public:
  // A snapshot; makes the table if this namespace does not have it yet. Throws SystemError.
  explicit LegacyTable(std::string name)
      : name_(std::move(name)), handle_(Ip::init(name_.c_str())) {
    if (handle_) return;
    const int error_number = errno;
    std::string attempt = fmt::format("open table {} of {}", name_, Ip::kTool);
    if (error_number == ENOPROTOOPT) {
      attempt += fmt::format(", which needs {} in the kernel", Ip::kKernelPart);
    } else if (error_number == ENOENT) {
      attempt += fmt::format(", which needs {}{} in the kernel", Ip::kTableModule, name_);
    }
    throw SystemError(error_number, attempt);
  }

  inet::Family family() const override { return Ip::kFamily; }

  bool has_chain(const std::string& chain) const override {
    const ChainLabel label(chain);
    return label && !is_doomed(chain) && Ip::is_chain(label.get(), handle()) != 0;
  }

  std::vector<std::string> chains() const override {
    std::vector<std::string> result;
    for (const char* chain = Ip::first_chain(handle()); chain != nullptr;
         chain = Ip::next_chain(handle())) {
      if (Ip::builtin(chain, handle()) == 0 && !is_doomed(chain)) result.emplace_back(chain);
    }
    return result;
  }

  const std::vector<StoredRule>& rules(const std::string& chain) const override {
    static const std::vector<StoredRule> kNone;
    if (!has_chain(chain)) return kNone;
    const auto [known, is_new] = known_rules_.try_emplace(chain);
    if (is_new) known->second = read_chain(chain);
    return known->second;
  }

  bool drops_by_policy(const std::string& chain) const override {
    const ChainLabel label(chain);
    xt_counters counters{};
    const char* policy = label ? Ip::get_policy(label.get(), &counters, handle()) : nullptr;
    return policy != nullptr && std::string_view(policy) == IPTC_LABEL_DROP;
  }

  void ensure_chain(const std::string& chain) override {
    if (has_chain(chain)) return;
    // It was flushed, and so it is new.
    if (doomed_.erase(chain) > 0) return;
    const std::string attempt = describe("make chain", chain);
    if (chain.size() > kLongestChain) throw SystemError(ENAMETOOLONG, attempt);
    demand(Ip::create_chain(ChainLabel(chain).get(), handle()), attempt);
    changed_ = true;
  }

  void append(const std::string& chain, const Rule& rule) override {
    put(chain, std::nullopt, rule, [&](const ChainLabel& label, const auto* entry) {
      return Ip::append_entry(label.get(), entry, handle());
    });
  }

  void insert(const std::string& chain, std::size_t position, const Rule& rule) override {
    demand_position(chain, position, rules(chain).size());
    put(chain, position, rule, [&](const ChainLabel& label, const auto* entry) {
      return Ip::insert_entry(label.get(), entry, static_cast<unsigned>(position), handle());
    });
  }

  void erase(const std::string& chain, std::size_t position) override {
    const std::string attempt = describe(fmt::format("delete rule {} of chain", position), chain);
    demand_chain(chain, attempt);
    demand_position(chain, position + 1, rules(chain).size());
    demand(Ip::delete_num_entry(ChainLabel(chain).get(), static_cast<unsigned>(position), handle()),
           attempt);
    std::vector<StoredRule>& known = known_rules_.at(chain);
    known.erase(known.begin() + static_cast<std::ptrdiff_t>(position));
    changed_ = true;
  }

  void flush(const std::string& chain) override {
    const std::string attempt = describe("flush chain", chain);
    demand_chain(chain, attempt);
    demand(Ip::flush_entries(ChainLabel(chain).get(), handle()), attempt);
    known_rules_.erase(chain);
    changed_ = true;
  }

  void delete_chain(const std::string& chain) override {
    if (Ip::builtin(ChainLabel(chain).get(), handle()) != 0) {
      throw SystemError(EINVAL, describe("delete built-in chain", chain));
    }
    flush(chain);
    // While something jumps to it libiptc would refuse, so it is for commit.
    doomed_.insert(chain);
  }

  bool changed() const override { return changed_; }

  // 0, or the errno of the kernel where a fresh snapshot may help: EAGAIN, EINVAL.
  int commit() {
    for (const std::string& chain : doomed_) {
      demand(Ip::delete_chain(ChainLabel(chain).get(), handle()), describe("delete chain", chain));
    }
    if (!changed_ || Ip::commit(handle()) != 0) return 0;
    const int error_number = errno;
    if (error_number == EAGAIN || error_number == EINVAL) return error_number;
    throw SystemError(error_number, describe_commit(error_number));
  }

  std::string describe_commit(int error_number) const {
    std::string attempt = fmt::format("change table {} of {}", name_, Ip::kTool);
    // ENOENT: of one of these, or of its revision, the kernel knows nothing.
    if (error_number == ENOENT && !extensions_.empty()) {
      attempt += fmt::format(", which needs the extensions {} in the kernel",
                             fmt::join(extensions_, ", "));
    }
    return attempt;
  }

 private:
  xtc_handle* handle() const { return handle_.get(); }

  bool is_doomed(const std::string& chain) const { return doomed_.contains(chain); }

  std::string describe(const std::string& attempt, const std::string& chain) const {
    return fmt::format("{} {} of table {} of {}", attempt, chain, name_, Ip::kTool);
  }

  // libiptc's functions return 0 and leave errno.
  static void demand(int done, const std::string& attempt) {
    if (done == 0) throw_errno(attempt);
  }

  static void demand_position(const std::string& chain, std::size_t position, std::size_t limit) {
    if (position > limit) {
      throw std::out_of_range(fmt::format("chain {} has {} rules only", chain, limit));
    }
  }

  void demand_chain(const std::string& chain, const std::string& attempt) const {
    if (!has_chain(chain)) throw SystemError(ENOENT, attempt);
  }

  // `position`: nothing is the end.
  void put(const std::string& chain, std::optional<std::size_t> position, const Rule& rule,
           const auto& put_entry) {
    require_valid(rule, family());
    const std::string attempt =
        describe(fmt::format("add rule '{}' to chain", render(rule)), chain);
    demand_chain(chain, attempt);
    // libiptc would take it for an extension, and the kernel would not know that.
    if (const std::string target = rule.jump_target(); !target.empty() && !has_chain(target)) {
      throw SystemError(ENOENT, describe(attempt + ", which jumps to chain", target));
    }
    const EncodedRule encoded = encode<Ip>(rule);
    demand(put_entry(ChainLabel(chain),
                     reinterpret_cast<const typename Ip::Entry*>(encoded.bytes.data())),
           attempt);
    // Reading a long chain again after each rule would take time that grows with its square.
    if (const auto known = known_rules_.find(chain); known != known_rules_.end()) {
      std::vector<StoredRule>& rules = known->second;
      rules.insert(rules.begin() + static_cast<std::ptrdiff_t>(position.value_or(rules.size())),
                   {.rule = rule, .jump_target = rule.jump_target(), .comment = rule.comment()});
    }
    extensions_.insert(encoded.extensions.begin(), encoded.extensions.end());
    changed_ = true;
  }

  std::vector<StoredRule> read_chain(const std::string& chain) const {
    std::vector<StoredRule> result;
    const ChainLabel label(chain);
    for (const auto* entry = Ip::first_rule(label.get(), handle()); entry != nullptr;
         entry = Ip::next_rule(entry, handle())) {
      result.push_back(read(*entry));
    }
    return result;
  }

  StoredRule read(const typename Ip::Entry& entry) const {
    StoredRule result;
    Rule rule{.target = Accept{}};
    bool understood = read_header<Ip>(entry, rule);
    understood = read_matches<Ip>(entry, rule) && understood;
    result.comment = rule.comment();

    const char* label = Ip::get_target(&entry, handle());
    std::optional<Target> target = label == nullptr ? std::nullopt : read_verdict(label);
    if (label != nullptr && !target && Ip::is_chain(label, handle()) != 0) {
      result.jump_target = label;
      target = Jump{.chain = label};
    }
    if (!target) {
      const auto* bytes = reinterpret_cast<const std::byte*>(&entry);
      const auto* piece = reinterpret_cast<const xt_entry_target*>(bytes + entry.target_offset);
      target = decode_target(Ip::kFamily, name_of(piece), piece->u.user.revision,
                             info_of(piece, piece->u.target_size));
    }
    if (understood && target) {
      rule.target = *std::move(target);
      result.rule = std::move(rule);
    }
    return result;
  }

  struct Free {
    void operator()(xtc_handle* handle) const { Ip::free(handle); }
  };

  std::string name_;
  std::unique_ptr<xtc_handle, Free> handle_;
  // What rules() has read, by chain.
  mutable std::map<std::string, std::vector<StoredRule>> known_rules_;
  bool changed_ = false;
  std::set<std::string> doomed_;  // chains to delete at commit, empty already
  std::set<std::string> extensions_;
};

// --- the store

std::string lock_path() {
  const char* path = ::secure_getenv("XTABLES_LOCKFILE");
  return path == nullptr || *path == '\0' ? kLockFile : path;
}

// The lock of xtables. Whoever of this thread holds it shares it: a second descriptor would wait
// for the first one for ever.
std::shared_ptr<state::FileLock> lock_xtables(std::chrono::milliseconds wait) {
  thread_local std::weak_ptr<state::FileLock> held;
  if (auto lock = held.lock()) return lock;
  auto lock = std::make_shared<state::FileLock>(
      state::FileLock::acquire_of_others(lock_path(), kLockMode, wait));
  held = lock;
  return lock;
}

template <typename Ip>
void change_table(const std::string& name, const std::function<void(Table&)>& change) {
  for (int invalid = 0, tries = 1;; ++tries) {
    LegacyTable<Ip> table(name);
    change(table);
    const int refusal = table.commit();
    if (refusal == 0) return;
    if (refusal == EINVAL && ++invalid == kTriesWhenInvalid) {
      throw SystemError(refusal, table.describe_commit(refusal));
    }
    if (tries == kTries) {
      throw Busy(table.describe_commit(refusal) + ": somebody else kept changing it");
    }
  }
}

// Opening a table makes it: only one that is in use is opened.
template <typename Ip>
std::unique_ptr<const Table> find_table(const std::string& name) {
  const auto names = find_legacy_tables(Ip::kFamily);
  if (!names || std::ranges::find(*names, name) == names->end()) return nullptr;
  return std::make_unique<const LegacyTable<Ip>>(name);
}

class LegacyStore final : public Store {
 public:
  explicit LegacyStore(std::chrono::milliseconds lock_wait) : lock_wait_(lock_wait) {}

  StoreKind kind() const override { return StoreKind::kLegacy; }

  void change(inet::Family family, const std::string& table,
              const std::function<void(Table&)>& change) override {
    if (!lock_) lock_ = lock_xtables(lock_wait_);
    if (family == inet::Family::kIpv4) {
      change_table<Ip4>(table, change);
    } else {
      change_table<Ip6>(table, change);
    }
  }

  std::unique_ptr<const Table> find(inet::Family family, const std::string& table) override {
    return family == inet::Family::kIpv4 ? find_table<Ip4>(table) : find_table<Ip6>(table);
  }

 private:
  std::chrono::milliseconds lock_wait_;
  std::shared_ptr<state::FileLock> lock_;
};

}  // namespace

std::optional<std::vector<std::string>> find_legacy_tables(inet::Family family) {
  constexpr std::size_t kLimit = 65536;
  const bool ipv4 = family == inet::Family::kIpv4;
  const auto lines = find_file(ipv4 ? Ip4::kNames : Ip6::kNames, kLimit);
  if (!lines) return std::nullopt;
  std::vector<std::string> names = split(*lines, '\n');
  std::erase(names, "");
  return names;
}

std::unique_ptr<Store> open_legacy(std::chrono::milliseconds lock_wait) {
  return std::make_unique<LegacyStore>(lock_wait);
}

}  // namespace cni::xtables
