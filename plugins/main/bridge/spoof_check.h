// Keeps a container from sending frames with another MAC than its own (key macspoofchk).
//
// The rules are in the table "nat" of nf_tables' family bridge. Table, chains and comments are
// those of the reference suite, so that each suite checks and removes what the other one made.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "attachment/check_container_link.h"
#include "attachment/owner.h"
#include "base/undo.h"
#include "inet/mac.h"
#include "protocol/net_conf.h"

namespace cni::bridge {

// Names of chains and comments have the container ID and the interface in them and cannot be longer
// than the kernel allows. Throws Error 4.
void require_room_for_spoof_check(const Attachment& attachment);

// Drops what comes in through `port`, the container's port on the bridge, from another MAC than
// `mac`, in one transaction and in place of what the attachment had before.
void ensure_spoof_check(const attachment::Owner& owner, const std::string& port,
                        const inet::Mac& mac, Undo& undo);

// Returns whether there was anything. The table and its base chain, which others use too, stay.
bool delete_spoof_check_if_exists(const Attachment& attachment);

// Deletes those of `network` that belong to none of `valid`. What the reference suite made does not
// say of which network it is and stays.
void collect_spoof_checks(const std::string& network, const std::vector<Attachment>& valid);

void check_spoof_check(const Attachment& attachment, const std::string& port, const inet::Mac& mac,
                       attachment::Differences& differences);

// What the kernel lacks for ensure_spoof_check; nothing if it has it all. Changes nothing.
std::optional<std::string> find_spoof_check_obstacle();

}  // namespace cni::bridge
