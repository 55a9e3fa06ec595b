#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

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
  Dialect() {
    if (auto socket = nftables::Socket::find()) {
      socket_ = std::make_shared<nftables::Socket>(std::move(*socket));
    }
  }

  StoreKind kind() const override { return StoreKind::kDialect; }

  void change(inet::Family family, const std::string& table,
              const std::function<void(Table&)>& change) override {
    const Deadline deadline = Deadline::in(kPatience);
    do {
      require_nf_tables(family, table);
      const std::uint32_t generation = socket_->generation();
      DialectTable snapshot(family, table, socket_);
      change(snapshot);
      if (!snapshot.changed() || try_commit(snapshot, generation)) return;
    } while (!deadline.passed());
    throw Busy(fmt::format("change {}: others change nf_tables all the time",
                           dialect_table_text(family, table)));
  }

  std::unique_ptr<const Table> find(inet::Family family, const std::string& table) override {
    const nftables::TableId id = {.family = nftables::table_family(family), .name = table};
    if (!socket_ || !socket_->find_table(id)) return nullptr;
    return std::make_unique<DialectTable>(family, table, socket_);
  }

 private:
  void require_nf_tables(inet::Family family, const std::string& table) {
    if (socket_) return;
    throw KernelError::in_words(EOPNOTSUPP, "change " + dialect_table_text(family, table),
                                "the kernel lacks nf_tables");
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

  std::shared_ptr<nftables::Socket> socket_;  // nothing if the kernel has no nf_tables
};

}  // namespace

std::unique_ptr<Store> open_dialect() {
  return std::make_unique<Dialect>();
}

}  // namespace cni::xtables
