// A table of our own in nf_tables, one per job and address family.
//
// Its rules are few and do not depend on how many containers there are: containers are elements of
// its sets and maps. Every element says in its user data whose it is, and is taken out for its
// owner only. What an attachment has in the table is written down in the table itself, in the same
// transaction (its record), so that removal needs nothing but the owner.
//
// Writers take turns by a lock between processes, so that nothing changes between their look and
// their commit.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "json/value.h"
#include "netfilter/owner.h"
#include "nftables/nftables_socket.h"
#include "state/file_lock.h"

namespace cni::netfilter {

// Held while our tables are read in order to change them; one for all of them, taken last of all
// locks. The file is /run/cni/plumb/nftables.lock. Throws Busy that names it after 30 s.
state::FileLock lock_native_tables();

// A chain and its whole content.
struct ChainContent {
  nftables::Chain chain;
  std::vector<nftables::Rule> rules;  // only their expressions count
};

// What has to be there before elements can be added, whoever they belong to.
struct Layout {
  std::vector<nftables::Set> sets;
  std::vector<ChainContent> chains;  // those that are jumped to first
};

// What an attachment has in the table.
struct Record {
  Owner owner;
  json::Value content;
};

class NativeTable {
 public:
  // Nothing is read or made yet.
  NativeTable(nftables::Socket& socket, nftables::TableId id)
      : socket_(socket), id_(std::move(id)) {}

  const nftables::TableId& id() const { return id_; }

  // Adds to `batch` what is missing of table, record set and layout, and rewrites chains whose
  // rules are not exactly those of the layout. A chain that is as it should be is not touched.
  void ensure(nftables::Batch& batch, const Layout& layout);
  // What differs from the layout, one sentence each; empty if nothing does.
  std::vector<std::string> differences(const Layout& layout);

  // By container and interface alone: the network may have got another name since.
  std::optional<Record> find_record(const Owner& owner);
  std::vector<Record> list_records();
  // In place of the one that the owner may have.
  void put_record(nftables::Batch& batch, const Record& record);
  void delete_record(nftables::Batch& batch, const Owner& owner);

  // Those of `keys` whose element in `set` is the owner's.
  std::vector<nftables::Element> find_owned(const nftables::Set& set,
                                            std::span<const nftables::Bytes> keys,
                                            const Owner& owner);

  // A chain that several attachments may share, for equal settings: "<prefix>-<digest of content>".
  // Adds to `batch` that it goes if `references` is all that still refers to it, together with
  // `sets`, which only its rules use.
  void delete_shared_chain_unless_used(nftables::Batch& batch, const std::string& chain,
                                       std::uint32_t references,
                                       const std::vector<std::string>& sets);

  // After a commit that took something out: deletes the whole table if no record is left in it.
  void delete_if_unused();

 private:
  nftables::Socket& socket_;
  nftables::TableId id_;
};

// User data of an element: the owner, also readable in nft(8), and a check of its element.
nftables::Bytes owner_mark(const Owner& owner);
bool is_owned_by(const nftables::Element& element, const Owner& owner);
// Of a mark by owner_mark: as people read it, "<network>/<container ID>/<interface>", perhaps cut.
std::string describe_owner(const nftables::Element& element);

// [first, last] addresses, none overlapping or touching another one, ascending.
std::vector<nftables::Element> interval_elements(const std::vector<inet::Network>& networks,
                                                 const nftables::Bytes& user_data = {});

}  // namespace cni::netfilter
