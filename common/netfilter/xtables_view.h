// What may be asked of the tables of xtables in one of its stores, without change. Chains are asked
// for by name: on a node of Kubernetes there are tens of thousands.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "inet/address.h"
#include "nftables/nftables_socket.h"
#include "xtables/table.h"

namespace cni::netfilter {

class XtablesView {
 public:
  XtablesView() = default;
  XtablesView(const XtablesView&) = delete;
  XtablesView& operator=(const XtablesView&) = delete;
  virtual ~XtablesView() = default;

  virtual bool has_chain(inet::Family family, const std::string& table,
                         const std::string& chain) = 0;
  // Of all rules of a chain; empty where a rule does not jump.
  virtual std::vector<std::string> jump_targets(inet::Family family, const std::string& table,
                                                const std::string& chain) = 0;

  // Of either family.
  bool has_chain(const std::string& table, const std::string& chain);

  // Whether kubelet has made chains here, as it does with the host's own iptables, for others to
  // know which one that is.
  bool has_hint();

  // Whether there are chains of portmap, firewall or ipMasq, as the reference suite names them, and
  // we do in its stores. Not CNI-FORWARD beside kOwnForwardMark.
  bool has_attachments();

 private:
  bool has_forward_rules(inet::Family family);
};

// The tables of nf_tables that iptables-nft uses.
class DialectView : public XtablesView {
 public:
  // Without a socket there are none.
  explicit DialectView(nftables::Socket* socket);

  using XtablesView::has_chain;
  bool has_chain(inet::Family family, const std::string& table, const std::string& chain) override;
  std::vector<std::string> jump_targets(inet::Family family, const std::string& table,
                                        const std::string& chain) override;

  // Whether any of the tables of xtables is there.
  bool is_in_use();
  // Whether there is any table of nf_tables for IPv4, whosever.
  bool has_ip4_tables() { return !tables_[inet::Family::kIpv4].empty(); }

 private:
  nftables::Socket* socket_;
  std::map<inet::Family, std::set<std::string>> tables_;
};

// The legacy tables that are in use. One is read as a whole when it is first asked for.
class LegacyView : public XtablesView {
 public:
  using XtablesView::has_chain;
  bool has_chain(inet::Family family, const std::string& table, const std::string& chain) override;
  std::vector<std::string> jump_targets(inet::Family family, const std::string& table,
                                        const std::string& chain) override;

 private:
  const xtables::Table* find(inet::Family family, const std::string& table);

  std::unique_ptr<xtables::Store> store_ = xtables::open_legacy();
  std::map<std::pair<inet::Family, std::string>, std::unique_ptr<const xtables::Table>> tables_;
};

}  // namespace cni::netfilter
