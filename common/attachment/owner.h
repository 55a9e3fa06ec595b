// Whose an object on the host is. Its name is derived from the owner, and its alias repeats the
// owner, so that DEL and GC find it without stored state and without the container's namespace.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocol/args.h"
#include "protocol/net_conf.h"
#include "protocol/request.h"

namespace cni::attachment {

struct Owner {
  std::string network;
  Attachment attachment;

  static Owner of(const Request& request);
};

// How an alias tells whose a link is, in a form that fits whatever the length of the names.
struct OwnerMark {
  std::string network;     // hex digits of a digest
  std::string attachment;  // hex digits of a digest

  static OwnerMark of(const Owner& owner);

  friend bool operator==(const OwnerMark&, const OwnerMark&) = default;
};

// "default/web-0#eth0 plumb:<network>:<attachment>": for people the pod that CNI_ARGS names, else
// the container ID, and the interface in it; then the mark. At most 255 bytes, as the kernel takes
// (IFALIASZ, linux/if.h).
std::string render_alias(const Owner& owner, const Args& args);

// The mark in an alias; nothing if it is not of our making.
std::optional<OwnerMark> find_owner_mark(std::string_view alias);

// The name of the host end of a veth pair: "veth" and 8 hex digits, as other tools know them. The
// first name is `attempt` 0; the next ones are for the case that a stranger has it.
std::string host_link_name(const Attachment& attachment, unsigned attempt);

}  // namespace cni::attachment
