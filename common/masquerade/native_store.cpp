#include "masquerade/native_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <set>

#include "masquerade/native_rules.h"
#include "netfilter/element_owner.h"
#include "netfilter/native_table.h"
#include "netns/sysctl.h"

namespace cni::masquerade::native {
namespace {

using inet::Family;
using inet::kFamilies;
using inet::Network;
using inet::of_family;
using netfilter::NativeTable;
using netfilter::Owner;
using netfilter::Record;
using nftables::Batch;
using nftables::Bytes;
using nftables::Element;

// With liberal tracking the kernel translates segments out of window like all others, and calls
// only what is really broken invalid.
bool tracking_is_liberal() {
  return netns::find_sysctl("net/netfilter/nf_conntrack_tcp_be_liberal").value_or("0") != "0";
}

json::Value content_of(const std::vector<Network>& addresses, bool drop_invalid) {
  json::Value content = json::Value::object();
  content["addresses"] = json::Value::array();
  for (const Network& each : addresses) content["addresses"].push_back(each.address.text());
  content["dropInvalid"] = drop_invalid;
  return content;
}

std::vector<Bytes> keys_of(const Record& record) {
  std::vector<Bytes> keys;
  const json::Reader content(record.content);
  for (const json::Reader& each : content["addresses"].elements()) {
    if (const auto address = each.find_address()) keys.push_back(nftables::bytes_of(*address));
  }
  return keys;
}

// Elements that go, and the chains that perhaps nobody needs any more then.
class Removal {
 public:
  Removal(nftables::Socket& socket, NativeTable& table, Family family)
      : socket_(socket),
        table_(table),
        sources_(sources_map(family)),
        drop_invalid_(drop_invalid_map(family)) {}

  void take_owned(const std::vector<Bytes>& keys, const Owner& owner) {
    take(gone_sources_, table_.find_owned(sources_, keys, owner));
    take(gone_drops_, table_.find_owned(drop_invalid_, keys, owner));
  }
  // Whoever they belong to.
  void take_all(const std::vector<Bytes>& keys) {
    if (keys.empty()) return;
    if (socket_.has_set(sources_.table, sources_.name)) {
      take(gone_sources_, socket_.find_elements(sources_, keys));
    }
    if (socket_.has_set(drop_invalid_.table, drop_invalid_.name)) {
      take(gone_drops_, socket_.find_elements(drop_invalid_, keys));
    }
  }

  // First the elements, then chains, except `needed`, which new elements will refer to.
  void put_elements(Batch& batch) const {
    remove(batch, sources_, gone_sources_);
    remove(batch, drop_invalid_, gone_drops_);
  }
  void put_chains(Batch& batch, const std::set<std::string>& needed) {
    for (const auto& [chain, references] : count(gone_drops_)) {
      if (needed.contains(chain)) continue;
      table_.delete_shared_chain_unless_used(batch, chain, references, {});
    }
    for (const auto& [chain, references] : count(gone_sources_)) {
      if (needed.contains(chain)) continue;
      std::vector<std::string> sets = policy_set_names(chain);
      std::erase_if(sets,
                    [&](const std::string& set) { return !socket_.has_set(table_.id(), set); });
      table_.delete_shared_chain_unless_used(batch, chain, references, sets);
    }
  }

 private:
  using ByKey = std::map<Bytes, Element>;

  static void take(ByKey& gone, const std::vector<Element>& elements) {
    for (const Element& each : elements) gone.emplace(each.key, each);
  }
  static void remove(Batch& batch, const nftables::Set& set, const ByKey& gone) {
    std::vector<Element> elements;
    for (const auto& [key, element] : gone) elements.push_back({.key = key});
    if (!elements.empty()) batch.delete_elements(set, elements);
  }
  static std::map<std::string, std::uint32_t> count(const ByKey& gone) {
    std::map<std::string, std::uint32_t> references;
    for (const auto& [key, element] : gone) {
      if (element.verdict) ++references[element.verdict->chain];
    }
    return references;
  }

  nftables::Socket& socket_;
  NativeTable& table_;
  nftables::Set sources_;
  nftables::Set drop_invalid_;
  ByKey gone_sources_;
  ByKey gone_drops_;
};

// What both have, once.
void merge(netfilter::Layout& layout, const netfilter::Layout& more) {
  for (const nftables::Set& set : more.sets) {
    if (std::ranges::find(layout.sets, set.name, &nftables::Set::name) == layout.sets.end()) {
      layout.sets.push_back(set);
    }
  }
  for (const netfilter::ChainContent& content : more.chains) {
    const auto same = std::ranges::find_if(
        layout.chains, [&](const auto& each) { return each.chain.name == content.chain.name; });
    if (same == layout.chains.end()) layout.chains.push_back(content);
  }
}

void add_family(nftables::Socket& socket, Batch& batch, const Owner& owner,
                const std::vector<Network>& addresses, Family family, const Config& config) {
  NativeTable table(socket, native_table(family));
  Removal removal(socket, table, family);
  const auto earlier = table.find_record(owner);
  if (earlier) removal.take_owned(keys_of(*earlier), owner);
  std::vector<Bytes> keys;
  for (const Network& each : addresses) keys.push_back(nftables::bytes_of(each.address));
  removal.take_all(keys);
  removal.put_elements(batch);

  const bool drop_invalid = config.drop_invalid.value_or(!tracking_is_liberal());
  const Bytes mark = netfilter::owner_mark(owner);
  std::map<Network, Policy> policies;  // by subnet
  std::set<std::string> needed;
  netfilter::Layout layout;
  std::vector<Policy::FilledSet> contents;
  for (const Network& each : addresses) {
    const auto [entry, is_new] =
        policies.try_emplace(each.masked(), Policy(config, each, drop_invalid));
    const Policy& policy = entry->second;
    if (!is_new || !needed.insert(policy.chain()).second) continue;
    needed.insert(policy.drop_chain());
    merge(layout, policy.layout());
    for (const Policy::FilledSet& filled : policy.sets()) {
      // What is in them follows from the name.
      if (!socket.has_set(table.id(), filled.set.name)) {
        contents.push_back(filled);
      }
    }
  }
  if (!addresses.empty()) table.ensure(batch, layout);
  for (const Policy::FilledSet& filled : contents) {
    batch.add_elements(filled.set, filled.elements);
  }
  for (const Network& each : addresses) {
    const Policy& policy = policies.at(each.masked());
    const auto jump = [&](const std::string& chain) {
      return std::array{Element{
          .key = nftables::bytes_of(each.address),
          .verdict = nftables::Verdict{.kind = nftables::Verdict::Kind::kJump, .chain = chain},
          .user_data = mark}};
    };
    batch.add_elements(sources_map(family), jump(policy.chain()));
    if (drop_invalid) batch.add_elements(drop_invalid_map(family), jump(policy.drop_chain()));
  }
  removal.put_chains(batch, needed);
  if (!addresses.empty()) {
    table.put_record(batch, {.owner = owner, .content = content_of(addresses, drop_invalid)});
  } else if (earlier) {
    table.delete_record(batch, owner);
  }
}

void check_sets(nftables::Socket& socket, const Policy& policy,
                attachment::Differences& differences) {
  const auto key = [](const Element& element) {
    return std::pair(element.key, element.interval_end);
  };
  const auto sorted = [&](std::vector<Element> elements) {
    std::ranges::sort(elements, {}, key);
    return elements;
  };
  for (const Policy::FilledSet& filled : policy.sets()) {
    if (!socket.has_set(filled.set.table, filled.set.name)) continue;  // reported with the layout
    const auto present = sorted(socket.list_elements(filled.set));
    if (!std::ranges::equal(present, sorted(filled.elements), {}, key, key)) {
      differences.add(fmt::format("set \"{}\" of table \"{}\" does not hold what belongs into it",
                                  filled.set.name, filled.set.table.name));
    }
  }
}

void check_element(nftables::Socket& socket, const nftables::Set& map, const Owner& owner,
                   const inet::Address& address, const std::string& chain,
                   attachment::Differences& differences) {
  const auto element = socket.has_set(map.table, map.name)
                           ? socket.find_element(map, nftables::bytes_of(address))
                           : std::optional<Element>();
  const auto report = [&](const std::string& problem) {
    differences.add(fmt::format("address {} {} map \"{}\" of table \"{}\"", address.text(), problem,
                                map.name, map.table.name));
  };
  if (!element) {
    report("is missing in");
  } else if (!netfilter::is_owned_by(*element, owner)) {
    report(fmt::format("belongs to {} in", netfilter::describe_owner(*element)));
  } else if (!element->verdict || element->verdict->chain != chain) {
    report("has other settings in");
  }
}

void check_family(nftables::Socket& socket, const Owner& owner,
                  const std::vector<Network>& addresses, Family family, const Config& config,
                  attachment::Differences& differences) {
  if (addresses.empty()) return;
  NativeTable table(socket, native_table(family));
  const auto record = table.find_record(owner);
  if (!record) {
    differences.add(fmt::format("table \"{}\" of {} knows nothing of this attachment",
                                table.id().name, name(family)));
    return;
  }
  // Without a word in the configuration ADD has decided.
  const bool drop_invalid =
      config.drop_invalid.value_or(json::Reader(record->content)["dropInvalid"].bool_or(false));
  std::set<std::string> seen;
  for (const Network& each : addresses) {
    const Policy policy(config, each, drop_invalid);
    check_element(socket, sources_map(family), owner, each.address, policy.chain(), differences);
    if (drop_invalid) {
      check_element(socket, drop_invalid_map(family), owner, each.address, policy.drop_chain(),
                    differences);
    }
    if (!seen.insert(policy.chain()).second) continue;
    for (const std::string& sentence : table.differences(policy.layout())) {
      differences.add(sentence);
    }
    check_sets(socket, policy, differences);
  }
}

bool has_table(nftables::Socket& socket) {
  return std::ranges::any_of(kFamilies, [&](Family family) {
    return socket.find_table(native_table(family)).has_value();
  });
}

void remove_records(Batch& batch, nftables::Socket& socket, Family family,
                    const std::vector<Record>& records) {
  NativeTable table(socket, native_table(family));
  Removal removal(socket, table, family);
  for (const Record& record : records) removal.take_owned(keys_of(record), record.owner);
  removal.put_elements(batch);
  removal.put_chains(batch, {});
  for (const Record& record : records) table.delete_record(batch, record.owner);
}

// `choose` says which records of a table go.
void remove_chosen(const std::function<std::vector<Record>(NativeTable&)>& choose) {
  std::optional<nftables::Socket> found = nftables::Socket::find();
  // On a host that has none nothing is made, not even the file of the lock.
  if (!found || !has_table(*found)) return;
  nftables::Socket& socket = *found;
  const state::FileLock lock = netfilter::lock_native_tables();
  netfilter::commit_prepared(socket, "remove masquerading", [&] {
    Batch batch;
    for (const Family family : kFamilies) {
      NativeTable table(socket, native_table(family));
      const std::vector<Record> records = choose(table);
      if (!records.empty()) remove_records(batch, socket, family, records);
    }
    return batch;
  });
  for (const Family family : kFamilies) {
    NativeTable(socket, native_table(family)).delete_if_unused();
  }
}

// Of both families.
std::vector<Record> find_records(nftables::Socket& socket, const Owner& owner) {
  std::vector<Record> records;
  for (const Family family : kFamilies) {
    auto record = NativeTable(socket, native_table(family)).find_record(owner);
    if (record) records.push_back(*std::move(record));
  }
  return records;
}

}  // namespace

void add(const Owner& owner, const std::vector<Network>& addresses, const Config& config,
         Undo& undo) {
  nftables::Socket socket = nftables::Socket::here();
  const state::FileLock lock = netfilter::lock_native_tables();
  // Before the commit, whose answer may be lost.
  undo.add("remove masquerading", [owner, before = find_records(socket, owner)] {
    remove_chosen([&](NativeTable& table) {
      const auto record = table.find_record(owner);
      const bool is_new = record && std::ranges::find(before, *record) == before.end();
      return is_new ? std::vector{*record} : std::vector<Record>();
    });
  });
  netfilter::commit_prepared(socket, "masquerade the addresses of the container", [&] {
    Batch batch;
    for (const Family family : kFamilies) {
      add_family(socket, batch, owner, of_family(addresses, family), family, config);
    }
    return batch;
  });
}

bool has(const Owner& owner) {
  std::optional<nftables::Socket> socket = nftables::Socket::find();
  return socket && has_table(*socket) && std::ranges::any_of(kFamilies, [&](Family family) {
           return NativeTable(*socket, native_table(family)).find_record(owner).has_value();
         });
}

void check(const Owner& owner, const std::vector<Network>& addresses, const Config& config,
           attachment::Differences& differences) {
  nftables::Socket socket = nftables::Socket::here();
  for (const Family family : kFamilies) {
    check_family(socket, owner, of_family(addresses, family), family, config, differences);
  }
}

void remove(const Owner& owner) {
  remove_chosen([&](NativeTable& table) {
    const auto record = table.find_record(owner);
    return record ? std::vector{*record} : std::vector<Record>();
  });
}

void remove_if(const std::function<bool(const Owner&)>& condition) {
  remove_chosen([&](NativeTable& table) {
    std::vector<Record> records = table.list_records();
    std::erase_if(records, [&](const Record& record) { return !condition(record.owner); });
    return records;
  });
}

std::optional<std::string> find_obstacle() {
  std::optional<nftables::Socket> socket = nftables::Socket::find();
  if (!socket) return "the kernel has no nf_tables (CONFIG_NF_TABLES)";
  // A transaction that fails at its very end, for a reason of its own: a chain that is jumped to
  // cannot go. If it fails earlier, the kernel lacks what comes there.
  for (const Family family : kFamilies) {
    const nftables::TableId table{.family = nftables::table_family(family),
                                  .name = std::string(kNativeTable) + "_probe"};
    const nftables::Chain base{.table = table,
                               .name = "base",
                               .hook = nftables::Hook{.type = "nat", .number = 4, .priority = 100}};
    const nftables::Chain target{.table = table, .name = "target"};
    Batch batch;
    batch.ensure_table({.id = table});
    batch.ensure_chain(base);
    batch.ensure_chain(target);
    batch.append_rule(
        {.table = table, .chain = target.name, .expressions = {nftables::expr::masquerade(true)}});
    batch.append_rule({.table = table,
                       .chain = base.name,
                       .expressions = {nftables::expr::verdict(
                           {.kind = nftables::Verdict::Kind::kJump, .chain = target.name})}});
    batch.delete_chain(table, target.name);
    try {
      socket->try_commit(batch, fmt::format("try masquerading of {}", name(family)), {EBUSY});
    } catch (const SystemError& error) {
      return fmt::format("{}: the kernel lacks nft_masq or nft_chain_nat", error.what());
    }
  }
  return std::nullopt;
}

}  // namespace cni::masquerade::native
