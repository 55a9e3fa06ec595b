#include "nftables/objects.h"

#include <catch2/catch.hpp>
#include <stdexcept>
#include <string>

#include "nftables/batch.h"

using namespace cni::nftables;  // NOLINT(google-build-using-namespace)

namespace {

Bytes bytes(const std::string& text) {
  const auto all = std::as_bytes(std::span(text));
  return {all.begin(), all.end()};
}

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Rule rule_of(std::vector<Expression> expressions, Bytes user_data = {}) {
  return {.table = {Family::kIp4, "t"},
          .chain = "c",
          .expressions = std::move(expressions),
          .user_data = std::move(user_data)};
}

std::string comment_in(Bytes user_data) {
  return rule_of({}, std::move(user_data)).comment();
}

}  // namespace

TEST_CASE("a comment is a piece of type 0 with its NUL", "[nftables]") {
  const Bytes expected = bytes(std::string("\0\3hi\0", 5));
  CHECK(table_comment("hi") == expected);
  CHECK(rule_comment("hi") == expected);
  CHECK(element_comment("hi") == expected);
  CHECK(comment_in(rule_comment("hi")) == "hi");
  CHECK(comment_in({}).empty());
  CHECK(comment_in(bytes(std::string("\0\2hi", 4))) == "hi");  // without its NUL
}

TEST_CASE("a comment that does not fit is refused, not cut", "[nftables]") {
  // 256 bytes in all, of which 2 are the head and one is the NUL.
  const std::string longest(253, 'x');
  CHECK(comment_in(rule_comment(longest)) == longest);
  CHECK_THROWS_AS(rule_comment(longest + 'x'), std::length_error);
  CHECK_THROWS_AS(rule_comment(std::string(300, 'x')), std::length_error);
  CHECK_THROWS_AS(element_comment(std::string(300, 'x')), std::length_error);
  CHECK_THROWS_AS(table_comment(std::string(300, 'x')), std::length_error);
}

TEST_CASE("user data hold pieces side by side", "[nftables]") {
  Bytes data = rule_comment("what people see");
  append_user_data(data, 200, bytes("mine"));
  append_user_data(data, 201, {});
  append_user_data(data, 200, bytes("later"));
  CHECK(text(*find_user_data(data, 200)) == "mine");  // the first one
  REQUIRE(find_user_data(data, 201));
  CHECK(find_user_data(data, 201)->empty());
  CHECK_FALSE(find_user_data(data, 202));
  CHECK(comment_in(data) == "what people see");

  Bytes full;
  append_user_data(full, 1, Bytes(200));
  append_user_data(full, 2, Bytes(52));
  CHECK(full.size() == 256);
  CHECK_THROWS_AS(append_user_data(full, 3, {}), std::length_error);
  CHECK(full.size() == 256);
}

TEST_CASE("user data whose lengths do not fit hold nothing more", "[nftables]") {
  CHECK_FALSE(find_user_data({}, 0));
  CHECK_FALSE(find_user_data(bytes("\1"), 1));
  CHECK_FALSE(find_user_data(bytes("\1\3ab"), 1));
  const Bytes second_cut = bytes(std::string("\2\1x\1\3ab", 7));
  CHECK_FALSE(find_user_data(second_cut, 1));
  CHECK(text(*find_user_data(second_cut, 2)) == "x");
}

TEST_CASE("a rule leads where the verdict at its end does", "[nftables]") {
  CHECK(rule_of({}).jump_target().empty());
  CHECK(rule_of({expr::counter()}).jump_target().empty());
  CHECK(rule_of({expr::counter(), expr::verdict({Verdict::Kind::kJump, "a"})}).jump_target() ==
        "a");
  CHECK(rule_of({expr::verdict({Verdict::Kind::kGoto, "b"})}).jump_target() == "b");
  CHECK(rule_of({expr::verdict({Verdict::Kind::kDrop})}).jump_target().empty());
  CHECK(rule_of({expr::immediate(0, network_order(80))}).jump_target().empty());
  CHECK(
      rule_of({expr::verdict({Verdict::Kind::kJump, "a"}), expr::counter()}).jump_target().empty());
}

TEST_CASE("types of fields stand side by side, 6 bits each", "[nftables]") {
  CHECK(concatenated_type({kTypeIp4}) == 7);
  CHECK(concatenated_type({kTypeIp4, kTypePort}) == (7U << 6U | 13U));
  CHECK(concatenated_type({kTypeProtocol, kTypeIp6, kTypePort}) == ((12U << 6U | 8U) << 6U | 13U));
  CHECK(table_family(cni::inet::Family::kIpv4) == Family::kIp4);
  CHECK(table_family(cni::inet::Family::kIpv6) == Family::kIp6);
}

TEST_CASE("elements are the same by their keys and by being a start or an end", "[nftables]") {
  const Element start{.key = host_order(1)};
  const Element end{.key = host_order(1), .interval_end = true};
  const Element range{.key = host_order(1), .key_end = host_order(5)};
  const Element longer{.key = host_order(1), .key_end = host_order(6)};
  CHECK_FALSE(has_duplicates({}));
  CHECK_FALSE(has_duplicates(std::vector{start, end, range, longer}));
  CHECK(has_duplicates(std::vector{range, start, longer, range}));
  const Element other_value{.key = host_order(1), .user_data = element_comment("other")};
  CHECK(has_duplicates(std::vector{start, other_value}));
}

TEST_CASE("elements go into as few messages as hold them", "[nftables]") {
  const Set set{.table = {Family::kIp4, "t"}, .name = "s", .key_length = 4};
  Batch none;
  none.add_elements(set, {});
  none.delete_elements(set, {});
  CHECK(none.empty());
  const std::vector<Element> elements(1000, Element{.key = Bytes(4)});
  Batch one;
  one.add_elements(set, elements);
  CHECK(one.size() == 1);
  // The largest there are: keys of 64 bytes, 256 of user data, a chain of 255 letters.
  const std::vector<Element> large(
      1000, Element{.key = Bytes(64),
                    .key_end = Bytes(64),
                    .verdict = Verdict{Verdict::Kind::kJump, std::string(255, 'c')},
                    .user_data = Bytes(256)});
  Batch several;
  several.add_elements(set, large);
  CHECK(several.size() >= 11);
  CHECK(several.size() <= 13);
}
