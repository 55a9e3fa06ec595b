// Tables, chains, rules, sets and elements out of what a fake kernel answers, and what our own
// tables and those of others mean to the plugins. The first byte is the question.

#include "forward_accept/accept_rules.h"
#include "fuzz/fake_kernel.h"
#include "fuzz/input.h"
#include "fuzz/oracle.h"
#include "fuzz/targets.h"
#include "masquerade/native_rules.h"
#include "masquerade/reference_table.h"
#include "masquerade/xtables_rules.h"
#include "netfilter/element_owner.h"
#include "netfilter/forward_policy.h"
#include "netfilter/native_table.h"
#include "nftables/nftables_socket.h"
#include "portmap/native_hostports.h"
#include "portmap/native_layout.h"
#include "portmap/reference_hostports.h"
#include "portmap/xtables_hostports.h"
#include "xtables/dialect_table.h"
#include "xtables/kernel_lack.h"

namespace cni::fuzz {
namespace {

using nftables::Socket;

const netfilter::Owner kOwner{.network = "net", .container_id = "c1", .ifname = "eth0"};
const nftables::TableId kNat{nftables::Family::kIp4, "nat"};

void list_all(Socket& socket) {
  socket.list_tables(nftables::Family::kInet);
  for (const nftables::Chain& chain : socket.list_chains(nftables::Family::kIp4)) {
    socket.find_chain(chain.table, "x");
  }
  const auto rules = socket.list_rules(kNat);
  xtables::find_lack(rules, [](const auto& /*extension*/) { return false; });
  for (const nftables::Set& set : socket.list_sets(kNat)) {
    for (const nftables::Element& element : socket.list_elements(set)) {
      netfilter::describe_owner(element);
      netfilter::is_owned_by(element, kOwner);
    }
    socket.find_element(set, nftables::Bytes(4));
  }
}

void read_dialect(Socket& socket) {
  xtables::DialectTable table(inet::Family::kIpv4, "nat", {std::shared_ptr<void>(), &socket});
  for (const std::string& chain : table.chains()) table.rules(chain);
  const masquerade::Config config;
  const std::vector<inet::Network> addresses = {*inet::Network::parse("10.88.0.5/16")};
  masquerade::differences_from(table, kOwner, addresses, config);
  forward_accept::differences_from(table, kOwner, addresses);
  forward_accept::remove_from(table, kOwner);
  masquerade::remove_from(table, kOwner, addresses);
  masquerade::collect_from(table, "net", {});
  const auto all = [](const portmap::ChainHolder& /*holder*/) { return true; };
  for (const portmap::ChainHolder& holder : portmap::chain_holders(table, all)) {
    portmap::remove_chain(table, holder.chain);
    require(!table.has_chain(holder.chain), "a chain that is removed is gone");
  }
  table.batch();
}

void read_own(Socket& socket) {
  netfilter::NativeTable table(socket, masquerade::native_table(inet::Family::kIpv4));
  for (const netfilter::Record& record : table.list_records()) {
    require(!record.content.is_discarded(), "a record has a content");
  }
  table.find_record(kOwner);
  const netfilter::Layout layout = portmap::hostports_layout(inet::Family::kIpv4, true);
  table.differences(layout);
  nftables::Batch batch;
  table.ensure(batch, layout);
  table.delete_record(batch, kOwner);
}

void read_hostports(Socket& socket) {
  portmap::NativeHostports hostports(socket, inet::Family::kIpv4);
  for (const portmap::Holding& holding : hostports.list()) hostports.differences(holding);
  hostports.list_concerned(
      {kOwner},
      {portmap::Run{.protocol = portmap::Protocol::kTcp, .host_port = 80, .container_port = 80}});
  hostports.count_localnet({.interface = "cni0", .reset = true}, {kOwner});
}

void ask(std::uint8_t question) {
  Socket socket = Socket::here();
  switch (question % 7) {
    case 0:
      list_all(socket);
      break;
    case 1:
      read_dialect(socket);
      break;
    case 2:
      read_own(socket);
      break;
    case 3:
      read_hostports(socket);
      break;
    case 4:
      portmap::reference_holders(socket, inet::Family::kIpv4);
      portmap::delete_reference_rules(socket, inet::Family::kIpv6, "c1", std::nullopt);
      break;
    case 5:
      netfilter::find_dropping_native_chains();
      netfilter::dialect_drops_forwarded(inet::Family::kIpv4);
      masquerade::reference::has(kOwner, *inet::Address::parse("10.88.0.5"));
      masquerade::reference::collect("net", {});
      break;
    default: {
      socket.generation();
      nftables::Batch batch;
      batch.ensure_table({.id = kNat});
      batch.delete_chain(kNat, "x");
      socket.commit(batch, "fuzz", 1);
    }
  }
}

}  // namespace

void nftables_objects(std::string_view input) {
  Pieces pieces(input);
  const std::uint8_t question = pieces.byte();
  const FakeKernel kernel(pieces.rest());
  accepts([&] { ask(question); }, {Code::kInternal, Code::kTryAgainLater, Code::kInvalidConfig});
}

}  // namespace cni::fuzz
