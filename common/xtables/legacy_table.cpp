#include "xtables/legacy_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <libiptc/libiptc.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "xtables/legacy_rule.h"

// Unlike its sister this header does not say that its functions are C. What it includes is there
// already.
extern "C" {
#include <libiptc/libip6tc.h>
}

namespace cni::xtables {
namespace {

// libiptc has every function once for each family: iptc_init(), ip6tc_init().
#define FUNCTIONS_OF(prefix)                                          \
  static constexpr auto init = prefix##_init;                         \
  static constexpr auto free = prefix##_free;                         \
  static constexpr auto is_chain = prefix##_is_chain;                 \
  static constexpr auto first_chain = prefix##_first_chain;           \
  static constexpr auto next_chain = prefix##_next_chain;             \
  static constexpr auto first_rule = prefix##_first_rule;             \
  static constexpr auto next_rule = prefix##_next_rule;               \
  static constexpr auto get_target = prefix##_get_target;             \
  static constexpr auto builtin = prefix##_builtin;                   \
  static constexpr auto get_policy = prefix##_get_policy;             \
  static constexpr auto get_references = prefix##_get_references;     \
  static constexpr auto insert_entry = prefix##_insert_entry;         \
  static constexpr auto append_entry = prefix##_append_entry;         \
  static constexpr auto delete_num_entry = prefix##_delete_num_entry; \
  static constexpr auto flush_entries = prefix##_flush_entries;       \
  static constexpr auto create_chain = prefix##_create_chain;         \
  static constexpr auto delete_chain = prefix##_delete_chain;         \
  static constexpr auto commit = prefix##_commit

struct Ip4 {
  FUNCTIONS_OF(iptc);
  using Entry = ipt_entry;
  static constexpr inet::Family kFamily = inet::Family::kIpv4;
  static constexpr const char* kTool = "iptables-legacy";
  static constexpr const char* kKernelPart = "ip_tables (CONFIG_IP_NF_IPTABLES_LEGACY)";
  static constexpr const char* kTableModule = "iptable_";
};

struct Ip6 {
  FUNCTIONS_OF(ip6tc);
  using Entry = ip6t_entry;
  static constexpr inet::Family kFamily = inet::Family::kIpv6;
  static constexpr const char* kTool = "ip6tables-legacy";
  static constexpr const char* kKernelPart = "ip6_tables (CONFIG_IP6_NF_IPTABLES_LEGACY)";
  static constexpr const char* kTableModule = "ip6table_";
};

#undef FUNCTIONS_OF

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

std::optional<Target> find_verdict(std::string_view label) {
  if (label == IPTC_LABEL_ACCEPT) return Accept{};
  if (label == IPTC_LABEL_DROP) return Drop{};
  if (label == IPTC_LABEL_RETURN) return Return{};
  return std::nullopt;
}

template <typename Ip>
class IptcTable final : public LegacyTable {
 public:
  explicit IptcTable(std::string name) : name_(std::move(name)) {
    errno = 0;
    handle_.reset(Ip::init(name_.c_str()));
    // libiptc takes a table for whole though it had no memory for some of it, and would write it
    // back like that: parse_table() in iptables/libiptc/libiptc.c does not look at what
    // cache_add_entry() returns, which sets errno, to -ENOMEM in places.
    const int error_number = std::abs(errno);
    if (handle_ && error_number != ENOMEM) return;
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

  std::size_t references(const std::string& chain) const override {
    unsigned count = 0;
    const ChainLabel label(chain);
    if (!has_chain(chain)) return 0;
    demand(Ip::get_references(&count, label.get(), handle()), describe("count jumps to", chain));
    return count;
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

  int commit() override {
    for (const std::string& chain : doomed_) {
      demand(Ip::delete_chain(ChainLabel(chain).get(), handle()), describe("delete chain", chain));
    }
    return !changed_ || Ip::commit(handle()) != 0 ? 0 : errno;
  }

  std::string describe_commit(int error_number) const override {
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
    const LegacyRule encoded = encode_legacy(Ip::kFamily, rule);
    demand(put_entry(ChainLabel(chain),
                     reinterpret_cast<const typename Ip::Entry*>(encoded.entry.data())),
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
      const std::span bytes(reinterpret_cast<const std::byte*>(entry), entry->next_offset);
      result.push_back(decode_legacy(Ip::kFamily, bytes, read_verdict(entry)));
    }
    return result;
  }

  // Nothing if the target is an extension.
  std::optional<Target> read_verdict(const typename Ip::Entry* entry) const {
    const char* label = Ip::get_target(entry, handle());
    if (label == nullptr) return std::nullopt;
    if (const auto verdict = find_verdict(label)) return verdict;
    if (Ip::is_chain(label, handle()) != 0) return Jump{.chain = label};
    return std::nullopt;
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

}  // namespace

std::unique_ptr<LegacyTable> open_legacy_table(inet::Family family, const std::string& name) {
  if (family == inet::Family::kIpv4) return std::make_unique<IptcTable<Ip4>>(name);
  return std::make_unique<IptcTable<Ip6>>(name);
}

}  // namespace cni::xtables
