// A table of our own in nf_tables, one per job and address family.
//
// Its rules are few and do not depend on how many containers there are: containers are elements of
// its sets and maps. Every element says in its user data whose it is, and is taken out for its
// owner only. What an attachment has in the table is written down in the table itself, in the same
// transaction (its record), so that removal needs nothing but the owner.
//
// Writers take turns by a lock between processes, so that nothing changes between their look and
// their commit:
//
//   const state::FileLock lock = lock_native_tables();
//   commit_prepared(socket, "...", [&] {
//     nftables::Batch batch;
//     table.ensure(batch, layout);
//     batch.add_elements(set, elements);          // each with owner_mark(owner)
//     table.put_record(batch, {owner, content});
//     return batch;
//   });
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "netfilter/owner.h"
#include "netfilter/record.h"
#include "nftables/nftables_socket.h"
#include "state/file_lock.h"

namespace cni::netfilter {

// Held while our tables are read in order to change them; one for all of them, taken last of all
// locks. The file is /run/cni/plumb/nf_tables-writers.lock. Throws Busy that names it after 30 s.
state::FileLock lock_native_tables();

// Commits what `prepare` makes of a look at our tables; anew if somebody who flushes the rule set,
// and does not wait for his turn, took away meanwhile what was seen. Returns 0 or one of
// `refusals`.
int commit_prepared(nftables::Socket& socket, const std::string& attempt,
                    const std::function<nftables::Batch()>& prepare,
                    std::initializer_list<int> refusals = {});

// A chain and its whole content.
struct ChainContent {
  nftables::Chain chain;
  // In their order. Their expressions have to be the same bytes each time, so a lookup is in a set
  // with a name.
  std::vector<nftables::Rule> rules;
};

// What has to be there before elements can be added, whoever they belong to.
struct Layout {
  std::vector<nftables::Set> sets;
  // In any order: all are there before any gets a rule.
  std::vector<ChainContent> chains;
};

class NativeTable {
 public:
  // Nothing is read or made yet. `socket` must outlive this.
  NativeTable(nftables::Socket& socket, nftables::TableId id);

  const nftables::TableId& id() const { return id_; }

  // Adds to `batch` what is missing of table, record set and layout, and rewrites chains whose
  // rules are not exactly those of the layout, with a rule of somebody else's for example. A chain
  // that is as it should be is not touched, and no set loses an element. Throws std::runtime_error
  // if a set of that name is of another kind.
  void ensure(nftables::Batch& batch, const Layout& layout);
  // What differs from the layout, one sentence each; empty if nothing does. Rules are compared by
  // what this code wrote into their user data, not by expressions.
  std::vector<std::string> differences(const Layout& layout);

  // By container and interface alone: the network may have got another name since. A record that
  // cannot be read counts as absent. Needs no lock.
  std::optional<Record> find_record(const Owner& owner);
  std::vector<Record> list_records();
  // Those of the owners of these elements. Needs the lock.
  std::vector<Record> records_of(const std::vector<nftables::Element>& elements);
  // In place of the one that the owner may have. Adds nothing if it has just that one.
  void put_record(nftables::Batch& batch, const Record& record);
  // Adds nothing if there is none.
  void delete_record(nftables::Batch& batch, const Owner& owner);

  // Those of `keys` whose element in `set` is the owner's.
  std::vector<nftables::Element> find_owned(const nftables::Set& set,
                                            std::span<const nftables::Bytes> keys,
                                            const Owner& owner);

  // How many rules and elements refer to a chain; nothing if there is none.
  std::optional<std::size_t> count_references(const std::string& chain);
  // For a chain that several attachments share, for equal settings. Adds to `batch` that it goes,
  // together with `sets`, which only its rules use, if nothing refers to it but `references` rules
  // and elements, which the batch takes out before. Adds nothing if there is no such chain.
  void delete_shared_chain_unless_used(nftables::Batch& batch, const std::string& chain,
                                       std::size_t references,
                                       const std::vector<std::string>& sets);

  // After a commit that took something out: deletes the whole table if no record is left in it.
  void delete_if_unused();

 private:
  // What is in the kernel under the name of an attachment.
  struct Stored {
    std::vector<nftables::Element> elements;
    std::optional<Record> record;
  };
  Stored read(const std::string& slot);
  std::vector<nftables::Element> all_elements_of(const std::string& slot);

  nftables::Socket& socket_;
  nftables::TableId id_;
  nftables::Set records_;
};

}  // namespace cni::netfilter
