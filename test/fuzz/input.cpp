#include "fuzz/input.h"

#include <algorithm>

#include "fuzz/oracle.h"
#include "json/parse.h"
#include "protocol/result_versions.h"

namespace cni::fuzz {

std::uint8_t Pieces::byte() {
  const std::string_view piece = take(1);
  return piece.empty() ? 0 : static_cast<std::uint8_t>(piece.front());
}

std::uint16_t Pieces::number() {
  const unsigned low = byte();
  return static_cast<std::uint16_t>(low | unsigned{byte()} << 8U);
}

std::string_view Pieces::take(std::size_t size) {
  const std::string_view piece = rest_.substr(0, size);
  rest_.remove_prefix(piece.size());
  return piece;
}

std::string_view Pieces::text() {
  const std::string_view piece = take(rest_.find('\0'));
  take(1);
  return piece;
}

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

Request request_of(std::string_view input) {
  Pieces pieces(input);
  const NetConf conf = NetConf::parse(std::string(pieces.text()));
  const std::string args(pieces.text());
  const std::string command(pieces.text());
  return {.command = command.empty() ? Command::kAdd : parse_command(command),
          .environment = {.command = command,
                          .container_id = "c1",
                          .netns = "/run/netns/c1",
                          .ifname = "eth0",
                          .args = args,
                          .path = "/opt/cni/bin",
                          .netns_override = false},
          .conf = conf,
          .version = conf.version(),
          .netns = std::nullopt};
}

void require_sound(const Request& request) {
  const std::string& name = request.conf.name();
  require(!name.empty() && name.size() <= 255 && name != "." && name != ".." &&
              name.find('/') == std::string::npos,
          "a network name can be a file name");
  std::optional<Result> previous;
  const bool usable = accepts([&] { previous = request.conf.find_prev_result(); }, kConfigCodes);
  const std::optional<Result> hint = request.conf.hint_prev_result();
  require(hint.has_value() == (usable && previous), "what ADD reads DEL reads too");
  if (previous && (!previous->ips.empty() || request.version >= Version::k0_3_0)) {
    const json::Value document = render_result(*previous, request.version);
    const json::Value again = json::parse(json::pretty(document));
    require(json::compact(again) == json::compact(document), "a result is printed as JSON");
  }
  accepts([&] { request.conf.find_valid_attachments(); }, kConfigCodes);
}

}  // namespace cni::fuzz
