// One legacy table through libiptc: read whole, changed in memory, and replaced whole.
#pragma once

#include <memory>
#include <string>

#include "inet/address.h"
#include "xtables/table.h"

namespace cni::xtables {

class LegacyTable : public Table {
 public:
  // 0, or the errno of the kernel: EAGAIN if somebody else changed the table since it was read.
  virtual int commit() = 0;

  // The attempt, for messages about this errno of commit().
  virtual std::string describe_commit(int error_number) const = 0;
};

// A snapshot; makes the table if this namespace does not have it yet. Throws SystemError that names
// what the kernel lacks for it.
std::unique_ptr<LegacyTable> open_legacy_table(inet::Family family, const std::string& name);

}  // namespace cni::xtables
