#include <fmt/format.h>

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
#include "xtables/kernel_lack.h"
#include "xtables/table.h"

namespace cni::xtables {
namespace {

using netlink::KernelError;

// Every refused attempt means that somebody else got on.
constexpr std::chrono::seconds kPatience{30};

class Dialect : public Store {
 public:
  Dialect() : socket_(nftables::Socket::find()) {}

  StoreKind kind() const override { return StoreKind::kDialect; }

  void change(inet::Family family, const std::string& table,
              const std::function<void(Table&)>& change) override {
    const Deadline deadline = Deadline::in(kPatience);
    do {
      require_nf_tables(family, table);
      const std::uint32_t generation = socket_->generation();
      DialectTable snapshot = read(family, table);
      change(snapshot);
      if (!snapshot.changed() || try_commit(snapshot, generation)) return;
    } while (!deadline.passed());
    throw Busy(fmt::format("change {}: others change nf_tables all the time",
                           DialectTable(family, table, {}, {}).text()));
  }

  std::unique_ptr<const Table> find(inet::Family family, const std::string& table) override {
    if (!socket_) return nullptr;
    const Deadline deadline = Deadline::in(kPatience);
    do {
      const std::uint32_t generation = socket_->generation();
      auto snapshot = std::make_unique<DialectTable>(read(family, table));
      if (socket_->generation() != generation) continue;
      return snapshot->empty() ? nullptr : std::move(snapshot);
    } while (!deadline.passed());
    throw Busy(fmt::format("read {}: others change nf_tables all the time",
                           DialectTable(family, table, {}, {}).text()));
  }

 private:
  void require_nf_tables(inet::Family family, const std::string& table) {
    if (socket_) return;
    throw KernelError::in_words(EOPNOTSUPP, "change " + DialectTable(family, table, {}, {}).text(),
                                "the kernel lacks nf_tables");
  }

  DialectTable read(inet::Family family, const std::string& table) {
    const nftables::Family table_family = nftables::table_family(family);
    std::vector<nftables::Chain> chains;
    for (nftables::Chain& chain : socket_->list_chains(table_family)) {
      if (chain.table.name == table) chains.push_back(std::move(chain));
    }
    std::vector<nftables::Rule> rules;
    if (!chains.empty()) rules = socket_->list_rules({.family = table_family, .name = table});
    return {family, table, chains, std::move(rules)};
  }

  // False if somebody else was faster.
  bool try_commit(const DialectTable& table, std::uint32_t generation) {
    const std::string attempt = "change " + table.text();
    const int refusal = socket_->try_commit(
        table.batch(), attempt,
        {ERESTART, ENOENT, EINVAL, EOPNOTSUPP, EPROTONOSUPPORT, EPROTOTYPE, EAFNOSUPPORT},
        generation);
    if (refusal == 0) return true;
    if (refusal == ERESTART) return false;
    if (const std::optional<std::string> lack = explain(table, refusal)) {
      throw KernelError::in_words(refusal, attempt, "the kernel lacks " + *lack);
    }
    throw KernelError(refusal, attempt);
  }

  // What of the kernel the refused table would have needed; nothing if that was not the reason.
  std::optional<std::string> explain(const DialectTable& table, int refusal) {
    const nftables::Family family = nftables::table_family(table.family());
    if (auto lack = find_lack(table.new_rules(), [&](const NeededExtension& needed) {
          return needed.is_target
                     ? socket_->supports_xt_target(family, needed.name, needed.revision)
                     : socket_->supports_xt_match(family, needed.name, needed.revision);
        })) {
      return lack;
    }
    // Chains that jumps lead to are there, so it is the type of a base chain that is not.
    if (refusal == ENOENT && table.makes_nat_chain()) return "nft_chain_nat";
    return std::nullopt;
  }

  std::optional<nftables::Socket> socket_;  // nothing if the kernel has no nf_tables
};

}  // namespace

std::unique_ptr<Store> open_dialect() {
  return std::make_unique<Dialect>();
}

}  // namespace cni::xtables
