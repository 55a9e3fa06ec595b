#include "netfilter/native_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <stdexcept>
#include <string_view>

#include "base/digest.h"
#include "base/file.h"
#include "netfilter/element_owner.h"
#include "netfilter/user_data.h"

namespace cni::netfilter {
namespace {

using nftables::Batch;
using nftables::Bytes;
using nftables::Chain;
using nftables::Element;
using nftables::Rule;
using nftables::Set;

constexpr const char* kLockDirectory = "/run/cni/plumb";
// The bridge plugin has "<bridge>.lock" beside it: this name is longer than that of a link can be.
constexpr const char* kLockName = "nf_tables-writers.lock";

constexpr const char* kTableComment = "made by plumb: containers are elements of its sets";

constexpr std::size_t kDigestDigits = 32;
constexpr int kReadAttempts = 10;
constexpr int kCommitAttempts = 10;

std::string digest(std::string_view text) {
  return sha512_hex(text, kDigestDigits);
}

// Of what the rule does. The name of each expression ends where its attributes begin.
std::string rule_digest(const Rule& rule) {
  std::string text;
  for (const nftables::Expression& expression : rule.expressions) {
    text += fmt::format("{} {} ", expression.name, expression.attributes.size());
    text += text_of_bytes(expression.attributes);
  }
  return digest(text);
}

std::string stored_digest(const Rule& rule) {
  const auto piece = nftables::find_user_data(rule.user_data, kRuleDigestPiece);
  return piece ? std::string(text_of_bytes(*piece)) : std::string();
}

bool same_kind(const Set& one, const Set& other) {
  return one.key_length == other.key_length && one.interval == other.interval &&
         one.data == other.data &&
         (one.data != Set::Data::kValue || one.data_length == other.data_length);
}

// What the kernel has of the sets of one table, and of the chains of a layout.
struct Present {
  bool table = false;
  std::map<std::string, Set> sets;
  std::map<std::string, Chain> chains;
  std::map<std::string, std::vector<std::string>> rule_digests;
};

Present look(nftables::Socket& socket, const nftables::TableId& id, const Layout& layout) {
  Present present;
  present.table = socket.find_table(id).has_value();
  if (!present.table) return present;
  for (Set& set : socket.list_sets(id)) present.sets.emplace(set.name, set);
  // The kernel lists chains of all tables only, and others may have thousands.
  for (const ChainContent& content : layout.chains) {
    if (auto chain = socket.find_chain(id, content.chain.name)) {
      present.chains.emplace(content.chain.name, std::move(*chain));
    }
  }
  for (const Rule& rule : socket.list_rules(id)) {
    present.rule_digests[rule.chain].push_back(stored_digest(rule));
  }
  return present;
}

std::vector<std::string> wanted_digests(const ChainContent& content) {
  std::vector<std::string> digests;
  for (const Rule& rule : content.rules) digests.push_back(rule_digest(rule));
  return digests;
}

bool has_rules(const Present& present, const ChainContent& content) {
  const auto found = present.rule_digests.find(content.chain.name);
  const std::vector<std::string> none;
  return (found == present.rule_digests.end() ? none : found->second) == wanted_digests(content);
}

const Chain* find_chain(const Present& present, const ChainContent& content) {
  const auto found = present.chains.find(content.chain.name);
  return found == present.chains.end() ? nullptr : &found->second;
}

}  // namespace

state::FileLock lock_native_tables() {
  ensure_directory(kLockDirectory, 0755);
  return state::FileLock::acquire(fmt::format("{}/{}", kLockDirectory, kLockName));
}

int commit_prepared(nftables::Socket& socket, const std::string& attempt,
                    const std::function<Batch()>& prepare, std::initializer_list<int> refusals) {
  for (int left = kCommitAttempts;; --left) {
    const Batch batch = prepare();
    try {
      return socket.try_commit(batch, attempt, refusals);
    } catch (const netlink::KernelError& error) {
      if (error.number() != ENOENT || left == 1) throw;
    }
  }
}

NativeTable::NativeTable(nftables::Socket& socket, nftables::TableId id)
    : socket_(socket), id_(std::move(id)), records_(record_set(id_)) {}

void NativeTable::ensure(Batch& batch, const Layout& layout) {
  const Present present = look(socket_, id_, layout);
  if (!present.table) {
    batch.ensure_table({.id = id_, .user_data = nftables::table_comment(kTableComment)});
  }
  const auto ensure_set = [&](const Set& set) {
    const auto found = present.sets.find(set.name);
    if (found == present.sets.end()) {
      batch.ensure_set(set);
    } else if (!same_kind(found->second, set)) {
      throw std::runtime_error(fmt::format(
          "set \"{}\" of the nf_tables table {} is of another kind", set.name, id_.text()));
    }
  };
  ensure_set(records_);
  for (const Set& set : layout.sets) ensure_set(set);

  std::set<std::string> made_now;
  for (const ChainContent& content : layout.chains) {
    const Chain* chain = find_chain(present, content);
    if (chain != nullptr && chain->hook == content.chain.hook) continue;
    if (chain != nullptr) {
      batch.flush_chain(id_, chain->name);
      batch.delete_chain(id_, chain->name);
    }
    batch.ensure_chain(content.chain);
    made_now.insert(content.chain.name);
  }
  for (const ChainContent& content : layout.chains) {
    const bool is_new = made_now.contains(content.chain.name);
    if (!is_new && has_rules(present, content)) continue;
    if (!is_new) batch.flush_chain(id_, content.chain.name);
    for (Rule rule : content.rules) {
      nftables::append_user_data(rule.user_data, kRuleDigestPiece,
                                 bytes_of_text(rule_digest(rule)));
      batch.append_rule(rule);
    }
  }
}

std::vector<std::string> NativeTable::differences(const Layout& layout) {
  const Present present = look(socket_, id_, layout);
  const std::string table = id_.text();
  if (!present.table) return {fmt::format("the nf_tables table {} is missing", table)};
  std::vector<std::string> found;
  const auto compare_set = [&](const Set& set) {
    const auto there = present.sets.find(set.name);
    if (there == present.sets.end()) {
      found.push_back(
          fmt::format("set \"{}\" of the nf_tables table {} is missing", set.name, table));
    } else if (!same_kind(there->second, set)) {
      found.push_back(
          fmt::format("set \"{}\" of the nf_tables table {} is of another kind", set.name, table));
    }
  };
  compare_set(records_);
  for (const Set& set : layout.sets) compare_set(set);
  for (const ChainContent& content : layout.chains) {
    const Chain* chain = find_chain(present, content);
    if (chain == nullptr) {
      found.push_back(fmt::format("chain \"{}\" of the nf_tables table {} is missing",
                                  content.chain.name, table));
    } else if (chain->hook != content.chain.hook) {
      found.push_back(fmt::format("chain \"{}\" of the nf_tables table {} hangs on another hook",
                                  content.chain.name, table));
    } else if (!has_rules(present, content)) {
      found.push_back(fmt::format("chain \"{}\" of the nf_tables table {} has other rules",
                                  content.chain.name, table));
    }
  }
  return found;
}

std::vector<Element> NativeTable::all_elements_of(const std::string& slot) {
  std::vector<Element> elements = socket_.list_elements(records_);
  std::erase_if(elements, [&](const Element& element) { return !is_in_slot(element, slot); });
  sort_by_number(elements);
  return elements;
}

NativeTable::Stored NativeTable::read(const std::string& slot) {
  Stored stored;
  const auto head = socket_.find_element(records_, record_key(slot, 0));
  if (!head) return stored;
  const auto count = chunk_count(*head);
  if (count) {
    std::vector<Bytes> keys;
    for (std::uint32_t chunk = 1; chunk <= *count; ++chunk) {
      keys.push_back(record_key(slot, chunk));
    }
    stored.elements = socket_.find_elements(records_, keys);
  }
  stored.elements.push_back(*head);
  sort_by_number(stored.elements);
  stored.record = assemble(stored.elements);
  if (!stored.record) stored.elements = all_elements_of(slot);
  return stored;
}

std::optional<Record> NativeTable::find_record(const Owner& owner) {
  const std::string slot = slot_of(owner);
  // Without the lock its elements may be exchanged while they are read.
  std::optional<Record> record;
  for (int attempt = 0; attempt < kReadAttempts && !record; ++attempt) {
    const std::uint32_t generation = socket_.generation();
    record = read(slot).record;
    if (socket_.generation() == generation) break;
  }
  if (record && !same_attachment(record->owner, owner)) return std::nullopt;
  return record;
}

std::vector<Record> NativeTable::list_records() {
  return assemble_all(socket_.list_elements(records_));
}

std::vector<Record> NativeTable::records_of(const std::vector<Element>& elements) {
  std::vector<Record> records;
  for (const std::string& slot : slots_of(elements)) {
    if (auto record = read(slot).record) records.push_back(std::move(*record));
  }
  return records;
}

void NativeTable::put_record(Batch& batch, const Record& record) {
  const Stored stored = read(slot_of(record.owner));
  if (stored.record == record) return;
  if (!stored.elements.empty()) batch.delete_elements(records_, stored.elements);
  batch.add_elements(records_, record_elements(record));
}

void NativeTable::delete_record(Batch& batch, const Owner& owner) {
  const Stored stored = read(slot_of(owner));
  if (!stored.elements.empty()) batch.delete_elements(records_, stored.elements);
}

std::vector<Element> NativeTable::find_owned(const Set& set, std::span<const Bytes> keys,
                                             const Owner& owner) {
  std::vector<Element> elements = socket_.find_elements(set, keys);
  std::erase_if(elements, [&](const Element& element) { return !is_owned_by(element, owner); });
  return elements;
}

std::optional<std::size_t> NativeTable::count_references(const std::string& chain) {
  const auto found = socket_.find_chain(id_, chain);
  if (!found) return std::nullopt;
  // Another process may have added a rule in between.
  const std::size_t rules = socket_.list_rules(id_, chain).size();
  return found->use > rules ? found->use - rules : 0;
}

void NativeTable::delete_shared_chain_unless_used(Batch& batch, const std::string& chain,
                                                  std::size_t references,
                                                  const std::vector<std::string>& sets) {
  const auto present = count_references(chain);
  if (!present || *present > references) return;
  batch.flush_chain(id_, chain);
  batch.delete_chain(id_, chain);
  for (const std::string& set : sets) batch.delete_set(id_, set);
}

void NativeTable::delete_if_unused() {
  // A batch that is refused takes as long as ten others.
  if (!socket_.find_table(id_) || !socket_.some_elements(records_).empty()) return;
  Batch batch;
  batch.delete_table(id_);
  socket_.try_commit(batch, fmt::format("delete the nf_tables table {}", id_.text()), {ENOENT});
}

}  // namespace cni::netfilter
