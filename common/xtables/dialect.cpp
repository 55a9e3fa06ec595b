#include <endian.h>
#include <fmt/format.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/deadline.h"
#include "base/error.h"
#include "nftables/nftables_socket.h"
#include "xtables/dialect_table.h"
#include "xtables/table.h"

namespace cni::xtables {
namespace {

using netlink::KernelError;

// Every refused attempt means that somebody else got on.
constexpr std::chrono::seconds kPatience{30};

// The module of an extension, which is also the name of its kernel option.
std::string module_of(const std::string& extension) {
  if (extension == "DNAT" || extension == "SNAT") return "xt_nat";
  if (extension == "MARK") return "xt_mark";
  return "xt_" + extension;
}

// Matches and targets have their attributes in common.
static_assert(static_cast<int>(NFTA_MATCH_NAME) == static_cast<int>(NFTA_TARGET_NAME));
static_assert(static_cast<int>(NFTA_MATCH_REV) == static_cast<int>(NFTA_TARGET_REV));

std::string extension_name(const nftables::Expression& expression) {
  return expression.parse().text(NFTA_MATCH_NAME);
}

class Dialect : public Store {
 public:
  Dialect() : socket_(nftables::Socket::here()) {}

  StoreKind kind() const override { return StoreKind::kDialect; }

  void change(inet::Family family, const std::string& table,
              const std::function<void(Table&)>& change) override {
    const Deadline deadline = Deadline::in(kPatience);
    do {
      require_nf_tables(family, table);
      const std::uint32_t generation = socket_.generation();
      DialectTable snapshot = read(family, table);
      change(snapshot);
      if (!snapshot.changed() || try_commit(snapshot, generation)) return;
    } while (!deadline.passed());
    throw Busy(fmt::format("change {}: others change nf_tables all the time",
                           DialectTable(family, table, {}, {}).text()));
  }

  std::unique_ptr<const Table> find(inet::Family family, const std::string& table) override {
    if (!socket_.is_supported()) return nullptr;
    const Deadline deadline = Deadline::in(kPatience);
    do {
      const std::uint32_t generation = socket_.generation();
      auto snapshot = std::make_unique<DialectTable>(read(family, table));
      if (socket_.generation() != generation) continue;
      return snapshot->empty() ? nullptr : std::move(snapshot);
    } while (!deadline.passed());
    throw Busy(fmt::format("read {}: others change nf_tables all the time",
                           DialectTable(family, table, {}, {}).text()));
  }

 private:
  void require_nf_tables(inet::Family family, const std::string& table) {
    if (socket_.is_supported()) return;
    throw KernelError::in_words(EOPNOTSUPP, "change " + DialectTable(family, table, {}, {}).text(),
                                "the kernel lacks nf_tables");
  }

  DialectTable read(inet::Family family, const std::string& table) {
    const nftables::Family table_family = nftables::table_family(family);
    std::vector<nftables::Chain> chains;
    for (nftables::Chain& chain : socket_.list_chains(table_family)) {
      if (chain.table.name == table) chains.push_back(std::move(chain));
    }
    std::vector<nftables::Rule> rules;
    if (!chains.empty()) rules = socket_.list_rules({.family = table_family, .name = table});
    return {family, table, chains, std::move(rules)};
  }

  // False if somebody else was faster.
  bool try_commit(const DialectTable& table, std::uint32_t generation) {
    const std::string attempt = "change " + table.text();
    const int refusal = socket_.try_commit(
        table.batch(), attempt,
        {ERESTART, ENOENT, EINVAL, EOPNOTSUPP, EPROTONOSUPPORT, EPROTOTYPE, EAFNOSUPPORT},
        generation);
    if (refusal == 0) return true;
    if (refusal == ERESTART) return false;
    if (const std::optional<std::string> lack = find_lack(table, refusal)) {
      throw KernelError::in_words(refusal, attempt, "the kernel lacks " + *lack);
    }
    throw KernelError(refusal, attempt);
  }

  // What of the kernel the refused table would have needed; nothing if that was not the reason.
  std::optional<std::string> find_lack(const DialectTable& table, int refusal) {
    bool has_nft_compat = false;
    std::vector<std::string> lacking;
    for (const nftables::Rule& rule : table.new_rules()) {
      for (const nftables::Expression& expression : rule.expressions) {
        const std::optional<bool> supported = supports(rule.table.family, expression);
        if (!supported) continue;
        has_nft_compat = has_nft_compat || *supported;
        const std::string module = module_of(extension_name(expression));
        if (!*supported && std::ranges::find(lacking, module) == lacking.end()) {
          lacking.push_back(module);
        }
      }
    }
    if (!lacking.empty()) {
      return fmt::format("{}{}", has_nft_compat ? "" : "nft_compat, or ",
                         fmt::join(lacking, " and "));
    }
    if (refusal == ENOENT && table.makes_nat_chain()) return "nft_chain_nat";
    return std::nullopt;
  }

  // Nothing if the expression is no extension of xtables.
  std::optional<bool> supports(nftables::Family family, const nftables::Expression& expression) {
    const std::uint32_t revision = be32toh(expression.parse().find_u32(NFTA_MATCH_REV).value_or(0));
    if (expression.name == "match") {
      return socket_.supports_xt_match(family, extension_name(expression), revision);
    }
    if (expression.name == "target") {
      return socket_.supports_xt_target(family, extension_name(expression), revision);
    }
    return std::nullopt;
  }

  nftables::Socket socket_;
};

}  // namespace

std::unique_ptr<Store> open_dialect() {
  return std::make_unique<Dialect>();
}

}  // namespace cni::xtables
