// Finds the reservations of an owner, and free addresses, without looking at every reservation:
//
//   <dataDir>/.plumb/<network>/owners/<digest>   a record (stamp.h) for each owner
//   <dataDir>/.plumb/<network>/used/<chunk>      one bit for each reserved address (address_set.h)
//   <dataDir>/.plumb/<network>/complete          what vouches for them
//
// The index follows from the reservation files, except for the stamps, and may be deleted at any
// time.
//
// The Go suite's host-local makes and deletes reservations without telling us. Whether it did is
// seen by the directories: save() gives the directory of the reservations, and the one of the
// records, a time of modification drawn by lot and writes both down. Whoever makes or deletes
// an entry, the kernel overwrites that time, and the index counts for nothing until it has been
// made anew from the files. So does our own process if it is killed half-way. Times are compared
// for equality only; nothing is older or newer by them. What was not synced before a loss of power
// does not count either, since the boot ID is another one then.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "address_set.h"
#include "stamp.h"
#include "state/directory_store.h"
#include "store.h"

namespace cni::host_local {

class Index {
 public:
  // `own` is `<dataDir>/.plumb/<network>`; nothing if it does not exist yet.
  Index(const Store& store, const state::DirectoryStore* own, std::string boot);

  // Whether it tells of every reservation. If not, call rebuild() before anything else.
  bool complete() const { return complete_ && !used_.damaged(); }
  // Makes it anew, with the stamps that are known. A reservation that nobody stamped gets one
  // of this boot without a namespace. Writes nothing.
  Store::Contents rebuild();

  AddressSet& used() { return used_; }
  std::optional<Record> find_record(const Owner& owner);

  void add(const Owner& owner, const inet::Address& address, const Stamp& stamp);
  void remove(const Owner& owner, const inet::Address& address);

  // Throws IoError; the index on disk is then not complete.
  void save(const state::DirectoryStore& own);

 private:
  struct Known {
    std::optional<Record> record;  // nothing: deleted
    bool saved = false;            // it is on disk like this
  };

  static std::string file_name(const Owner& owner);
  bool is_vouched_for() const;
  bool from_other_boot() const { return !saved_boot_.empty() && saved_boot_ != boot_; }
  // On disk.
  std::optional<Record> read_record(const std::string& name, bool& torn) const;
  // The stamp of a record on disk, or else what can be said of a reservation without one.
  Stamp known_stamp(const std::optional<Record>& record, bool torn,
                    const inet::Address& address) const;

  const Store& store_;
  std::string boot_;
  std::string saved_boot_;
  std::optional<state::DirectoryStore> owners_;
  AddressSet used_;
  std::optional<state::Mark> saved_mark_;
  std::optional<state::Mark> saved_owners_mark_;
  // By file name: what differs from the disk, or all there is if `rebuilt_`.
  std::map<std::string, Known> records_;
  bool complete_ = false;
  bool rebuilt_ = false;
};

}  // namespace cni::host_local
