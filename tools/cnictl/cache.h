// The results of attachments, on disk in the format of libcni ("cniCacheV1"), so that libcni and
// cnictl can each delete and check what the other made.
//
// <directory>/results/<network>-<container ID>-<interface>, mode 0600; directories made with 0700.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "json/value.h"
#include "protocol/net_conf.h"

namespace cni::cnictl {

struct CachedAttachment {
  std::string network;
  Attachment attachment;
  std::string netns;   // "" if the writer did not record it (libcni before 1.3)
  std::string config;  // text of the list; not read back
  std::vector<std::pair<std::string, std::string>> args;  // CNI_ARGS
  json::Value capability_args = json::Value::object();
  json::Value result;  // an object, or null if there is none
};

class Cache {
 public:
  explicit Cache(std::string directory) : directory_(std::move(directory)) {}

  // Replaces the whole file in one step. Throws IoError.
  void store(const CachedAttachment& cached) const;

  // Nothing if there is none. One that cannot be read is none, and a warning. A file of the oldest
  // format, a bare result, has no more than that.
  std::optional<CachedAttachment> find(const std::string& network,
                                       const Attachment& attachment) const;

  // Returns whether it was there.
  bool delete_if_exists(const std::string& network, const Attachment& attachment) const;

  // All that can be read of one network, in byte order of the file names.
  std::vector<CachedAttachment> list(const std::string& network) const;

 private:
  std::string results() const { return directory_ + "/results"; }
  std::string path(const std::string& network, const Attachment& attachment) const;

  std::string directory_;
};

// The file's content.
std::string render_cached(const CachedAttachment& cached);

// Nothing if `text` is not of the format "cniCacheV1".
std::optional<CachedAttachment> parse_cached(const std::string& text);

}  // namespace cni::cnictl
