// The IPAM plugin of a network: chooses addresses and routes for an attachment.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/best_effort.h"
#include "base/undo.h"
#include "protocol/request.h"
#include "protocol/result.h"

namespace cni::delegation {

class Ipam {
 public:
  // The plugin that `ipam.type` names, found in CNI_PATH; nothing if there is no ipam.type. Find it
  // before the first change: throws Error 4 or 7 if it cannot be called.
  static std::optional<Ipam> find(const Request& request);

  // The same for a plugin that cannot do without. Throws Error 7 `no plugin name provided`.
  static Ipam get(const Request& request);

  // DEL of an attachment: `remove` what has the addresses, then release these, as another container
  // may get them at once. The other way round if the plugin speaks through the container's link
  // when it releases. Both are tried.
  static void release_after(const std::function<void()>& remove, const Request& request,
                            BestEffort& cleanup);

  // The addresses, routes and DNS settings for this attachment; at least one address, and no
  // interfaces. Undone by DEL, also if the plugin itself fails half-way.
  Result add(const Request& request, Undo& undo) const;

  void check(const Request& request) const;
  void del(const Request& request) const;
  void status(const Request& request) const;
  void gc(const Request& request) const;

 private:
  explicit Ipam(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace cni::delegation
