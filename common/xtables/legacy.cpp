// The store of iptables-legacy: its lock, and changes that are tried again.
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "state/file_lock.h"
#include "xtables/legacy_table.h"
#include "xtables/table.h"

namespace cni::xtables {
namespace {

constexpr const char* kLockFile = "/run/xtables.lock";
constexpr mode_t kLockMode = 0600;

// The tables in use.
constexpr const char* kNames = "/proc/thread-self/net/ip_tables_names";
constexpr const char* kNamesOfIp6 = "/proc/thread-self/net/ip6_tables_names";

// Somebody who does not take the lock may commit first, but hardly this often.
constexpr int kTries = 100;
// EINVAL says that as well, where the kernel notices late; or that a rule is wrong.
constexpr int kTriesWhenInvalid = 3;

std::string lock_path() {
  const char* path = ::secure_getenv("XTABLES_LOCKFILE");
  return path == nullptr || *path == '\0' ? kLockFile : path;
}

// The lock of xtables. Whoever of this thread holds it shares it: a second descriptor would wait
// for the first one for ever.
class SharedLock : public std::enable_shared_from_this<SharedLock> {
 public:
  static std::shared_ptr<SharedLock> take(std::chrono::milliseconds wait) {
    return held != nullptr ? held->shared_from_this() : std::make_shared<SharedLock>(wait);
  }

  explicit SharedLock(std::chrono::milliseconds wait)
      : lock_(state::FileLock::acquire_of_others(lock_path(), kLockMode, wait)) {
    held = this;
  }
  SharedLock(const SharedLock&) = delete;
  SharedLock& operator=(const SharedLock&) = delete;
  ~SharedLock() { held = nullptr; }

 private:
  // Not an object with a destructor: glibc ends the process if it has no memory to note that.
  static inline thread_local SharedLock* held = nullptr;

  state::FileLock lock_;
};

bool same_content(const Table& one, const Table& other) {
  const auto names_of = [](const Table& table) {
    std::vector<std::string> names = table.chains();
    std::ranges::sort(names);
    return names;
  };
  std::vector<std::string> names = names_of(one);
  if (names != names_of(other)) return false;
  names.insert(names.end(), {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"});
  return std::ranges::all_of(names, [&](const std::string& chain) {
    return std::ranges::equal(
        one.rules(chain), other.rules(chain), [](const StoredRule& rule, const StoredRule& its) {
          return rule.rule == its.rule && rule.jump_target == its.jump_target &&
                 rule.comment == its.comment;
        });
  });
}

void change_table(inet::Family family, const std::string& name,
                  const std::function<void(Table&)>& change) {
  for (int invalid = 0, tries = 1;; ++tries) {
    const std::unique_ptr<LegacyTable> table = open_legacy_table(family, name);
    change(*table);
    const int refusal = table->commit();
    if (refusal == 0) return;
    // The kernel has the new table, and libiptc failed to put back the counters of the rules that
    // stayed (SO_SET_ADD_COUNTERS in iptables/libiptc/libiptc.c).
    if (same_content(*table, *open_legacy_table(family, name))) {
      log::warning("{}: the counters of other rules are lost: {}", table->describe_commit(refusal),
                   errno_text(refusal));
      return;
    }
    if (refusal != EAGAIN && (refusal != EINVAL || ++invalid == kTriesWhenInvalid)) {
      throw SystemError(refusal, table->describe_commit(refusal));
    }
    if (tries == kTries) {
      throw Busy(table->describe_commit(refusal) + ": somebody else kept changing it");
    }
  }
}

class LegacyStore final : public Store {
 public:
  explicit LegacyStore(std::chrono::milliseconds lock_wait) : lock_wait_(lock_wait) {}

  StoreKind kind() const override { return StoreKind::kLegacy; }

  void change(inet::Family family, const std::string& table,
              const std::function<void(Table&)>& change) override {
    if (!lock_) lock_ = SharedLock::take(lock_wait_);
    change_table(family, table, change);
  }

  std::unique_ptr<const Table> find(inet::Family family, const std::string& table) override {
    // Opening a table makes it: only one that is in use is opened.
    const auto names = find_legacy_tables(family);
    if (!names || std::ranges::find(*names, table) == names->end()) return nullptr;
    return open_legacy_table(family, table);
  }

 private:
  std::chrono::milliseconds lock_wait_;
  std::shared_ptr<SharedLock> lock_;
};

}  // namespace

std::optional<std::vector<std::string>> find_legacy_tables(inet::Family family) {
  constexpr std::size_t kLimit = 65536;
  const bool ipv4 = family == inet::Family::kIpv4;
  const auto lines = find_file(ipv4 ? kNames : kNamesOfIp6, kLimit);
  if (!lines) return std::nullopt;
  std::vector<std::string> names = split(*lines, '\n');
  std::erase(names, "");
  return names;
}

void require_legacy_access() {
  // The kind that libiptc uses, for both families.
  const UniqueFd socket(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!socket) throw_errno("open a raw socket for legacy tables");
}

std::unique_ptr<Store> open_legacy(std::chrono::milliseconds lock_wait) {
  return std::make_unique<LegacyStore>(lock_wait);
}

}  // namespace cni::xtables
