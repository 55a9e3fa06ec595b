// The network configuration that arrives on stdin, as far as it is the same for every plugin.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "json/reader.h"
#include "json/value.h"
#include "protocol/result.h"
#include "protocol/version.h"

namespace cni {

// An attachment is known by the container and the interface in it (CNI spec 1.1.0, section 2).
struct Attachment {
  std::string container_id;
  std::string ifname;

  friend auto operator<=>(const Attachment&, const Attachment&) = default;
};

class NetConf {
 public:
  // Throws Error 6 for text that is no JSON object, Error 7 for a bad name.
  static NetConf parse(std::string text);

  // The text as it came, for delegates.
  const std::string& text() const { return text_; }
  const std::string& name() const { return name_; }
  // Any key. The reader is valid as long as this object or a copy of it.
  json::Reader operator[](std::string_view key) const { return json::Reader(*root_)[key]; }

  // The text of cniVersion; "0.1.0" if it is missing or empty. Throws Error 6 if it is no string.
  std::string version_text() const;
  // Throws Error 1 unless it is a supported version.
  Version version() const;

  // The result of the plugin before this one, or of the whole chain. Nothing if it is absent or
  // null. Throws Error 7.
  std::optional<Result> find_prev_result() const;
  // The same for DEL, to which it is a hint only: nothing if it cannot be read.
  std::optional<Result> hint_prev_result() const;
  // Throws Error 7 `Required prevResult missing`.
  Result get_prev_result() const;

  // GC: the attachments that are still in use; nothing if the runtime sent no list.
  // Reads cni.dev/valid-attachments, else cni.dev/attachments (the key in the spec's tagged text).
  std::optional<std::vector<Attachment>> find_valid_attachments() const;

 private:
  std::string text_;
  std::shared_ptr<const json::Value> root_;
  std::string name_;
};

}  // namespace cni
