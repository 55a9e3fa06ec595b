// What is written down about an attachment when it gets an address, to tell later whether it is
// still alive.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inet/address.h"
#include "netns/holders.h"
#include "protocol/request.h"

namespace cni::host_local {

// The life of this kernel: a random text (random(4), boot_id).
std::string boot_id();

// CLOCK_BOOTTIME: since this kernel started, also while the machine slept. Settings of the wall
// clock do not move it; it compares only within one boot.
std::chrono::nanoseconds since_boot();

using netns::NetnsId;

struct Process {
  pid_t pid = 0;
  std::string start;  // starttime of proc(5): tells it from a later process of this number

  friend bool operator==(const Process&, const Process&) = default;
};

// The running process with this number.
std::optional<Process> find_process(pid_t pid);

struct Stamp {
  std::string boot;                             // "" for some earlier boot
  std::optional<NetnsId> netns = std::nullopt;  // nothing: not known
  std::string netns_path = {};                  // "" if not known
  std::optional<Process> adder = std::nullopt;  // the plugin that delegated this ADD to us
  std::string pod = {};                         // "namespace/name", "" if not known

  friend bool operator==(const Stamp&, const Stamp&) = default;
};

// Of the attachment that `request` makes.
Stamp stamp_of(const Request& request);

// What the index holds about an owner: the stamp and the addresses.
struct Record {
  Stamp stamp;
  std::vector<inet::Address> addresses;

  friend bool operator==(const Record&, const Record&) = default;
};

std::string text(const Record& record);
// Nothing if it is no whole record.
std::optional<Record> parse_record(std::string_view text);

}  // namespace cni::host_local
